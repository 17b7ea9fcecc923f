"""Pure work that peers of one simulation share: results depend on the bytes alone, so each is computed once.

Signature checks and features are memoised by content; what a peer concludes from them stays its own. `findings` is what
detectors see, by detector and digest: nothing of note where whoever simulates says nothing.
"""

from __future__ import annotations

import hashlib
import tempfile

from plora.gate import Features
from plora.gate.findings import Findings
from plora.gate.tensors import examine_descriptor
from plora.node.store.store import Store, blob_path
from plora.proto.keys import PublicKey
from plora.proto.statement import Statement, verify_statement


class Shared:
    """The memos of one simulation, or of many that use the same statements."""

    def __init__(self) -> None:
        self._verified: dict[tuple[bytes, bytes, str], bool] = {}
        self._features: dict[str, Features] = {}
        self.findings: dict[tuple[str, str], Findings] = {}

    def verify(self, statement: Statement, key: PublicKey) -> bool:
        """`verify_statement`, once for each statement, signature and key."""
        name = (statement.id, statement.signature, key.key_id)
        if name not in self._verified:
            self._verified[name] = verify_statement(statement, key)
        return self._verified[name]

    def examine(self, store: Store, digest: str) -> Features:
        """The gate's features of a held blob, whatever its digest claims."""
        data = store.disk.read(blob_path(digest), 0, store.disk.size(blob_path(digest)))
        return self.features(data)

    def features(self, data: bytes) -> Features:
        """The gate's features of these bytes."""
        name = hashlib.sha256(data).hexdigest()
        if name not in self._features:
            with tempfile.TemporaryFile() as file:
                file.write(data)
                file.seek(0)
                self._features[name] = examine_descriptor(file.fileno())
        return self._features[name]
