"""Adapters that were found to blame for a merge that failed its probes. Pure.

| table | key | value |
|---|---|---|
| `blames` | digest of the artifact | the others that are to blame with it, the base, when, as JSON |

- It goes by the bytes: another manifest of the same artifact is to blame, too.
- A row stays. Who is released by a person is no longer held for it (`wishes`), and never blamed again.

>>> blames = Blames(())
>>> rows = blames.put("mini", ["ab" * 32], now_ms=5)
>>> Blames([(row.key, row.value) for row in rows]).beside("ab" * 32), blames.beside("cd" * 32)
((), None)
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence

from plora.node.store.disk import Put
from plora.proto.errors import StoreError

BLAMES = "blames"


class Blames:
    """Who is to blame, and beside whom, by the digests of their artifacts."""

    def __init__(self, rows: Iterable[tuple[bytes, bytes]]) -> None:
        self._beside = {key.hex(): _read(value) for key, value in rows}

    def beside(self, digest: str) -> tuple[str, ...] | None:
        """The others to blame with an artifact; None where it isn't to blame."""
        return self._beside.get(digest)

    def named(self, digest: str, name: Callable[[str], str]) -> tuple[str, ...] | None:
        """The same, by name."""
        others = self.beside(digest)
        return None if others is None else tuple(map(name, others))

    def put(self, base: str, culprits: Sequence[str], now_ms: int) -> list[Put]:
        """These are to blame together: the rows to write."""
        rows = []
        for digest in culprits:
            self._beside[digest] = tuple(other for other in culprits if other != digest)
            fields = {"base": base, "beside": self._beside[digest], "at_ms": now_ms}
            rows.append(Put(BLAMES, bytes.fromhex(digest), json.dumps(fields, sort_keys=True).encode()))
        return rows


def _read(value: bytes) -> tuple[str, ...]:
    try:
        return tuple(map(str, json.loads(value)["beside"]))
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError("who is to blame can't be read", where=f"state.db: {BLAMES}") from error
