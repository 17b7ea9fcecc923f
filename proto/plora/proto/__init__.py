"""Every contract that crosses a process: statements, manifest, signatures, records, errors.

The public names are imported on first use, so that `import plora.proto.errors` costs neither pydantic nor OpenSSL.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from plora.proto.canonical import canonical_bytes, hex_digest, parse_canonical
    from plora.proto.chunks import chunk_hashes, chunk_root, describe_artifact
    from plora.proto.dsse import StatementKind, pae
    from plora.proto.errors import ManifestError, PloraError, StatementError
    from plora.proto.keys import (
        PrivateKey,
        PublicKey,
        generate_private_key,
        load_private_key,
        load_public_key,
    )
    from plora.proto.manifest import Manifest
    from plora.proto.payload import Payload
    from plora.proto.payloads import Attestation, Evidence, Freshness, OwnerRecord, Revocation, Vote
    from plora.proto.record_lines import Record, record_from_line, record_to_line, stamp
    from plora.proto.signatures import (
        aggregate_signatures,
        generate_keypair,
        sign_sha256_hex,
        verify_aggregate,
        verify_bytes,
        verify_sha256_hex,
    )
    from plora.proto.statement import (
        Statement,
        open_statement,
        sign_statement,
        statement_from_json,
        statement_to_json,
        verify_statement,
    )
    from plora.proto.yaml_view import SignedManifest, from_yaml, read_plora_yml, to_yaml, write_plora_yml

_PLACES = {
    "canonical": ("canonical_bytes", "hex_digest", "parse_canonical"),
    "chunks": ("chunk_hashes", "chunk_root", "describe_artifact"),
    "dsse": ("StatementKind", "pae"),
    "errors": ("ManifestError", "PloraError", "StatementError"),
    "keys": ("PrivateKey", "PublicKey", "generate_private_key", "load_private_key", "load_public_key"),
    "manifest": ("Manifest",),
    "payload": ("Payload",),
    "payloads": ("Attestation", "Evidence", "Freshness", "OwnerRecord", "Revocation", "Vote"),
    "record_lines": ("Record", "record_from_line", "record_to_line", "stamp"),
    "signatures": (
        "aggregate_signatures",
        "generate_keypair",
        "sign_sha256_hex",
        "verify_aggregate",
        "verify_bytes",
        "verify_sha256_hex",
    ),
    "statement": (
        "Statement",
        "open_statement",
        "sign_statement",
        "statement_from_json",
        "statement_to_json",
        "verify_statement",
    ),
    "yaml_view": ("SignedManifest", "from_yaml", "read_plora_yml", "to_yaml", "write_plora_yml"),
}
_MODULE_OF = {name: module for module, names in _PLACES.items() for name in names}

__all__ = [
    "Attestation",
    "Evidence",
    "Freshness",
    "Manifest",
    "ManifestError",
    "OwnerRecord",
    "Payload",
    "PloraError",
    "PrivateKey",
    "PublicKey",
    "Record",
    "Revocation",
    "SignedManifest",
    "Statement",
    "StatementError",
    "StatementKind",
    "Vote",
    "aggregate_signatures",
    "canonical_bytes",
    "chunk_hashes",
    "chunk_root",
    "describe_artifact",
    "from_yaml",
    "generate_keypair",
    "generate_private_key",
    "hex_digest",
    "load_private_key",
    "load_public_key",
    "open_statement",
    "pae",
    "parse_canonical",
    "read_plora_yml",
    "record_from_line",
    "record_to_line",
    "sign_sha256_hex",
    "sign_statement",
    "stamp",
    "statement_from_json",
    "statement_to_json",
    "to_yaml",
    "verify_aggregate",
    "verify_bytes",
    "verify_sha256_hex",
    "verify_statement",
    "write_plora_yml",
]


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
