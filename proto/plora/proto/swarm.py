"""A swarm: 32 random bytes of id, 32 of secret, and a human name.

- Whoever holds the secret can finish a TLS handshake with its peers; it makes a member, never a believed owner.
- An *open* swarm publishes its secret: id and secret follow from the name, so that everybody who knows the name is in.
  The specification's walk (`make offer`, `make fetch`) uses one.
- On disk: JSON, mode 0600.

>>> open_swarm("walk").id == open_swarm("walk").id != open_swarm("other").id
True
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

from plora.proto.canonical import is_hex_digest
from plora.proto.errors import ConfigError
from plora.proto.keys import write_new_file


@dataclass(frozen=True, slots=True)
class Swarm:
    """`id` and `secret` are 64 hexadecimal digits each; the secret is never shown."""

    name: str
    id: str
    secret: str = field(repr=False)

    def save(self, path: Path) -> None:
        """Write a new file with mode 0600; `KeyFileError` if there is one already."""
        document = {"name": self.name, "id": self.id, "secret": self.secret}
        write_new_file(path, json.dumps(document, indent=1).encode() + b"\n", mode=0o600)


def new_swarm(name: str, entropy: bytes) -> Swarm:
    """A closed swarm from 64 random bytes."""
    if len(entropy) != 64:
        raise ValueError("a new swarm needs 64 random bytes")
    return Swarm(name, entropy[:32].hex(), entropy[32:].hex())


def open_swarm(name: str) -> Swarm:
    """The open swarm of that name: the same everywhere, secret to nobody."""
    both = [hashlib.sha256(b"\x00".join((b"plora/open-swarm/v1", part, name.encode()))) for part in (b"id", b"secret")]
    return Swarm(name, *(digest.hexdigest() for digest in both))


def load_swarm(path: Path) -> Swarm:
    """The swarm in a file that `save` wrote; `ConfigError` when it can't be read or is malformed."""
    mend = "make a home by `plora init`, or copy the file from another member"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        swarm = Swarm(str(document["name"]), str(document["id"]), str(document["secret"]))
    except OSError as error:
        raise ConfigError(f"can't be read ({error.strerror})", where=str(path), mend=mend) from error
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError("is not a swarm file", where=str(path), mend=mend) from error
    if not (is_hex_digest(swarm.id) and is_hex_digest(swarm.secret)):
        raise ConfigError("id and secret must be 64 hexadecimal digits", where=str(path), mend=mend)
    return swarm
