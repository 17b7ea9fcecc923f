"""The peer's own secret, from which probes are drawn that nobody else can know: 32 random bytes in its home.

Rules:

- The file has mode 0600, is made at first need, and refused when others can read it.
- It is rotated when it is older than it may be: what was learned of its probes is worth nothing then. `generation`
  counts rotations; findings name it.
- Each adapter has probes of its own (`seed_for`): whoever submits many learns of none that the next will meet.

Not handled: which probes follow from a seed (`plora.gate.probing`).
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from dataclasses import dataclass
from pathlib import Path

from plora.proto.errors import KeyFileError
from plora.proto.keys import read_key_file, write_new_file

SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class ProbeSecret:
    """A secret of `SECRET_BYTES`, when it was made (ms since 1970), and how many there were before."""

    secret: bytes
    made_ms: int
    generation: int = 0

    def seed_for(self, subject: str) -> bytes:
        """The 32 bytes from which the probes of one subject are drawn.

        >>> secret = ProbeSecret(bytes(32), 0)
        >>> secret.seed_for("ab") == secret.seed_for("ab") != secret.seed_for("cd")
        True
        """
        return hmac.digest(self.secret, subject.encode(), hashlib.sha256)


def current_secret(path: Path, now_ms: int, rotate_ms: int) -> ProbeSecret:
    """The secret in a file, made or rotated if need be. Raises KeyFileError for a file that isn't one, or is open."""
    found = kept_secret(path)
    if found is not None and now_ms - found.made_ms < rotate_ms:
        return found
    made = ProbeSecret(os.urandom(SECRET_BYTES), now_ms, found.generation + 1 if found else 0)
    text = json.dumps({"secret": made.secret.hex(), "made_ms": made.made_ms, "generation": made.generation})
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    write_new_file(fresh, f"{text}\n".encode("ascii"), mode=0o600)
    fresh.replace(path)
    return made


def kept_secret(path: Path) -> ProbeSecret | None:
    """The secret in a file, however old; None where there is no file. Raises KeyFileError as `current_secret` does.

    For others than the peer: what it probes with is its own to change.
    """
    return _read(path) if path.exists() else None


def _read(path: Path) -> ProbeSecret:
    text = read_key_file(path, private=True)
    try:
        raw = json.loads(text)
        found = ProbeSecret(bytes.fromhex(raw["secret"]), int(raw["made_ms"]), int(raw["generation"]))
    except (KeyError, TypeError, ValueError) as error:
        mend = f"delete it, and another is made: rm {path}"
        raise KeyFileError("holds no secret for probes", where=str(path), mend=mend) from error
    if len(found.secret) != SECRET_BYTES:
        raise KeyFileError(f"holds {len(found.secret)} bytes, not {SECRET_BYTES}", where=str(path), mend="delete it")
    return found
