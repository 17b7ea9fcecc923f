"""How an empty folder becomes a peer's home (`plora.proto.home` says where everything lies in it).

- `peer.yaml` belongs to the human: `init_home` writes it once and no command rewrites it. `trust.yaml` is written by
  commands. Keys and the swarm file have mode 0600, the home 0700.
- A home is made whole or not at all. A fault leaves the folder empty; what a kill leaves is known by `UNFINISHED`, and
  the next try begins with taking it away. peer.yaml comes last: once it is there, the home is a peer's, which takes
  away at its start what a kill left of the mark alone.
- A new peer trusts its own owner and nobody else, listens on loopback and publishes nothing.
- Not handled here: reading peer.yaml (`plora.node.daemon.config`), the store (`plora.node.store`).
"""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from plora.gate import Trust, TrustedOwner, save_trust
from plora.node.transport.identity import save_identity_key
from plora.proto.errors import ConfigError
from plora.proto.fields import format_timestamp
from plora.proto.home import Home
from plora.proto.keys import write_new_file
from plora.proto.owner_files import Owner, create_owner
from plora.proto.swarm import Swarm

TEMPLATE = """\
# yaml-language-server: $schema=peer.schema.json
# peer.yaml: this peer's settings. It is yours; no command rewrites it.
# `plora-node --config peer.yaml --check` says what is wrong with it. SIGHUP reloads what may change at run time.
name: {name}
listen: {listen}            # where it accepts links; 127.0.0.1 is this machine only
{advertise}      # what others are told, if that differs
# dialable: true                     # false: only dials out, and takes part fully

neighbours: []                       # - {{peer: <64 hex digits>, address: 192.0.2.1:4700}}; more are in joined.json
discovery:
  lan: false                         # true: `plora peers lan` shows peers of the local network, and they this one
  exchange: true                     # tell linked peers of one another, and dial further members that way
gossip:
  round_ms: 1000                     # every round, reconcile with `fanout` neighbours
  fanout: 1
  eager_fanout: 2                    # push fresh statements at once to so many; 0 for experiments

policy:                              # what may be accepted; see docs/configuration.md
  unknown_owner: wait                # or reject
  quorum_required: 1                 # owners who must have signed
  rank_max: 64
  # probes: true                     # hold what a trigger turns; tensor_outliers: odd weights; see docs/detection.md
subscribe: {{}}                        # mode: ask, bases: [mini], domains: [legal], owners: [ada], size_max: 64MiB
                                     # empty fetches everything that is trusted; carry: true stores and passes on only
limits:
  upload_rate: 4MiB                  # bytes a second; 0 is unlimited
  download_rate: 16MiB
  lan_exempt: true                   # the rates leave out private address ranges
  store_max: 20GiB                   # older artifacts that aren't pinned give way (collect_garbage)
  disk_free_min: 1GiB
  artifact_max: 256MiB
  events_max: 256MiB                 # of event log
merge:
  enabled: true                      # one merged adapter a base, under merged/
log: console                         # or json
# metrics: 127.0.0.1:9464            # Prometheus; docs/metrics.md
# web: {{listen: 127.0.0.1:9480}}      # the web page from the start; `plora web` opens one at any time
# base_paths: {{smollm2: /models/smollm2}}          # a base's name where adapters are loaded, as vLLM's --model has it
# serving: {{vllm: {{url: http://127.0.0.1:8000}}}}   # a running vLLM loads what is accepted, and unloads what isn't
# record: true                       # keep the core's inputs, to replay them
"""


UNFINISHED = "unfinished"
"""A file that is in a home, locked, while it is made."""

ADVERTISE_EXAMPLE = "# advertise: [203.0.113.7:4700]"


@dataclass(frozen=True, slots=True)
class MadeHome:
    """What `init_home` made."""

    home: Home
    peer_id: str
    owner: Owner


def init_home(
    root: Path,
    *,
    name: str,
    swarm: Swarm,
    listen: str,
    now_s: int,
    advertise: Sequence[str] = (),
    identity_key: Ed25519PrivateKey | None = None,
    who: str = "plora init",
    further: Callable[[MadeHome], None] = lambda made: None,
) -> MadeHome:
    """Make a home in a new or empty folder, with a new identity unless one is given.

    `further` writes what else belongs to it. Raises ConfigError, and writes nothing, if something is there already;
    leaves the folder empty if anything fails.
    """
    check_empty(root)
    home = Home(root)
    with undone_if_it_fails(root):
        for folder in (home.identity_key.parent, home.owner_folder):
            folder.mkdir(mode=0o700)
        key = identity_key or Ed25519PrivateKey.generate()
        peer_id = key.public_key().public_bytes_raw().hex()
        swarm.save(home.swarm)
        save_identity_key(home.identity_key, key)
        write_new_file(home.peer_id, f"{peer_id}\n".encode("ascii"), mode=0o644)
        owner = create_owner(home.owner_folder / f"{name}.pem", name=name, swarm=swarm.id, issued_s=now_s)
        trusted = TrustedOwner.of_record(owner.statement, who=who, when=format_timestamp(now_s))
        save_trust(home.trust, Trust((trusted,), version=1))
        made = MadeHome(home, peer_id, owner)
        further(made)
        fresh = home.config.with_suffix(".new")
        write_new_file(fresh, settings_text(name, listen, advertise).encode(), mode=0o644)
        fresh.rename(home.config)
    return made


@contextmanager
def undone_if_it_fails(root: Path) -> Iterator[None]:
    """A folder for a home, emptied again by a fault: half a home would be in the way of the next try."""
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    root.chmod(0o700)
    mark = root / UNFINISHED
    with mark.open("xb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield
        except BaseException:
            _empty(root)
            raise
        mark.unlink(missing_ok=True)  # a peer that was started here already took it away


def _empty(root: Path) -> None:
    """The mark goes last: what is left by a kill meanwhile is known by it."""
    for left in sorted(root.iterdir(), key=lambda one: one.name == UNFINISHED):
        shutil.rmtree(left) if left.is_dir() and not left.is_symlink() else left.unlink()


def take_away_unfinished(root: Path) -> None:
    """Empty what a kill left of a home that was being made. ConfigError while somebody still makes it."""
    mark = root / UNFINISHED
    if not mark.exists() or Home(root).config.exists():
        return
    with mark.open("rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            mend = "wait until it is done, or choose another --home"
            raise ConfigError("a peer's home is being made here", where=str(root), mend=mend) from None
        _empty(root)


def settings_text(name: str, listen: str, advertise: Sequence[str] = ()) -> str:
    """The commented peer.yaml of a new peer."""
    told = f"advertise: [{', '.join(map(json.dumps, advertise))}]" if advertise else ADVERTISE_EXAMPLE
    return TEMPLATE.format(name=name, listen=listen, advertise=told)


def check_empty(root: Path) -> None:
    """ConfigError if something is in a folder that is to become a home, other than what a killed try left."""
    take_away_unfinished(root)
    if Home(root).peer_id.exists():
        mend = f"start it by `plora up --home {root}`, or choose another --home"
        raise ConfigError("a peer's home is here already", where=str(root), mend=mend)
    if root.exists() and any(root.iterdir()):
        raise ConfigError("is not empty", where=str(root), mend="choose another --home")
