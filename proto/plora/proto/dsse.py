"""What exactly is signed: DSSE pre-authentication encoding, and the one table of domain tags.

Rules:

- A signature covers `pae(payload type, payload)`, never bare payload bytes, so that a signature made for one purpose
  is worthless for every other.
- The payload type of a statement is its *kind*. It names the version of the statement's schema, never the wire's: an
  upgrade of the wire voids no signature.
- Tags that go into a hash rather than under a signature end in one zero byte, which no tag contains.

Source: https://github.com/secure-systems-lab/dsse/blob/master/protocol.md

>>> pae("http://example.com/HelloWorld", b"hello world")
b'DSSEv1 29 http://example.com/HelloWorld 11 hello world'
"""

from __future__ import annotations

from enum import StrEnum


class StatementKind(StrEnum):
    """The kinds of statement that this version knows; the value is the DSSE payload type."""

    MANIFEST = "application/vnd.plora.manifest.v1+json"
    ATTESTATION = "application/vnd.plora.attestation.v1+json"
    OWNER = "application/vnd.plora.owner.v1+json"
    REVOCATION = "application/vnd.plora.revocation.v1+json"
    FRESHNESS = "application/vnd.plora.freshness.v1+json"
    VOTE = "application/vnd.plora.vote.v1+json"
    EVIDENCE = "application/vnd.plora.evidence.v1+json"

    @property
    def short(self) -> str:
        """The name people read: `manifest`, `attestation`, ..."""
        return self.name.lower()


SHA256_CONTEXT = "application/vnd.plora.sha256.v1+json"
"""Payload type of `plora.proto.signatures.sign_sha256_hex`; never the kind of a statement."""

STATEMENT_ID_TAG = b"plora/statement/v1\x00"
"""Prefix of what a statement id is the SHA-256 of."""

CHUNKS_TAG = b"plora/chunks/v1\x00"
"""Prefix of what a chunk root is the SHA-256 of."""

REVOCATIONS_TAG = b"plora/revocations/v1\x00"
"""Prefix of what the digest of a set of revocations is the SHA-256 of."""

EPOCH_TAG = b"plora/epoch/v1\x00"
"""Prefix of what the id of a consensus' epoch is the SHA-256 of."""


def pae(payload_type: str, payload: bytes) -> bytes:
    """DSSE v1 pre-authentication encoding; lengths are decimal counts of bytes."""
    kind = payload_type.encode("utf-8")
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)
