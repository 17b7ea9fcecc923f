"""The newcomer's half of an invitation: hand the ticket in, check what comes back, and make a home of it.

Rules:

- The home is written after the inviter has answered, and everything that it says is checked. A ticket that the inviter
  took is used up, whatever becomes of the answer; so what can be checked here is checked before.
- The home is as `plora init` makes it, in the inviter's swarm; the inviter and those whom it names are its neighbours.
- Nobody is believed by it: the inviter's owner is known by name afterwards, no more.
- Every way to fail is one sentence: expired, used up, garbled, of another swarm, unreachable, clock off, a home that is
  a member already.

Not handled here: the ticket's text (`plora.proto.ticket`), the inviter's half (`plora.node.daemon.joins`).
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from plora.node.home import MadeHome, check_empty, init_home, take_away_unfinished
from plora.node.joined import DENIED_MAX, NEIGHBOURS_MAX, OWNERS_MAX, Acquaintance, Told, save_told
from plora.node.reach import ANOTHER_PEER, CLOCKS_APART, NOT_LET_IN, OUTCOMES
from plora.node.transport.invitation import UnreachedError, ask_to_join, guest_leaf, invitation_key, peer_at
from plora.proto.errors import (
    ConfigError,
    PloraError,
    ProtocolError,
    RefusedError,
    TransportError,
)
from plora.proto.fields import format_timestamp
from plora.proto.host_port import split
from plora.proto.keys import write_new_file
from plora.proto.payloads import OwnerRecord
from plora.proto.statement import Statement, open_statement, statement_to_json, verify_statement
from plora.proto.swarm import Swarm, load_swarm
from plora.proto.ticket import ADDRESSES_MAX, Ticket
from plora.proto.wire import statement_from_pb
from plora.proto.words import meeting_words
from plora.v1 import peer_pb2 as pb

FUTURE_S_MAX = 600
PROBE_BYTES = 64 * 1024
NAME_CHARACTERS_MAX = 64
ASK_AGAIN = "ask for another one: `plora invite NAME` at the inviter"


@dataclass(frozen=True, slots=True)
class Welcome:
    """What an inviter handed over, checked. `words` are the three that it sees too."""

    swarm: Swarm
    inviter: str
    told: Told
    owners: tuple[tuple[OwnerRecord, Statement], ...]
    words: str


def check_ticket(ticket: Ticket, now_s: int) -> None:
    """Refuse a ticket that can't be good by this host's clock."""
    clock = f"this host's clock says {format_timestamp(now_s)}"
    if ticket.made_s > now_s + FUTURE_S_MAX:
        what = f"the ticket was made at {format_timestamp(ticket.made_s)}, and {clock}"
        raise RefusedError(what, mend="set the clock that is off, by `timedatectl set-ntp true`")
    if ticket.expires_s <= now_s:
        raise RefusedError(f"the ticket expired at {format_timestamp(ticket.expires_s)}, and {clock}", mend=ASK_AGAIN)


def check_home(root: Path, ticket: Ticket) -> None:
    """Refuse a home that is a member already, or anything else that isn't empty."""
    take_away_unfinished(root)
    path = root / "swarm.json"
    if not path.exists():
        check_empty(root)
        return
    swarm = load_swarm(path)
    if swarm.id.startswith(ticket.swarm):
        mend = f"start it by `plora up --home {root}`"
        raise ConfigError(f"this home is a member of that swarm ({swarm.name}) already", where=str(root), mend=mend)
    what = f"this home is a member of swarm {swarm.name} already, and the ticket is for another swarm"
    raise ConfigError(what, where=str(root), mend="choose another --home; one home is in one swarm")


def join(
    ticket: Ticket, root: Path, *, name: str, listen: str, advertise: Sequence[str], now_s: int
) -> tuple[MadeHome, Welcome]:
    """Come into a swarm by a ticket, and make a home there."""
    check_ticket(ticket, now_s)
    check_home(root, ticket)
    _check_place(root)
    key = Ed25519PrivateKey.generate()
    welcome = hand_in(ticket, key, name, now_s)
    made = init_home(
        root,
        name=name,
        swarm=welcome.swarm,
        listen=listen,
        now_s=now_s,
        advertise=advertise,
        identity_key=key,
        who="plora join",
        further=lambda made: _write_told(made, welcome),
    )
    return made, welcome


def _write_told(made: MadeHome, welcome: Welcome) -> None:
    save_told(made.home.joined, welcome.told)
    made.home.owners.mkdir(mode=0o700)
    for record, statement in (*welcome.owners, (made.owner.record, made.owner.statement)):
        path = made.home.owners / f"{record.name}-{statement.id.hex()[:12]}.owner"
        write_new_file(path, statement_to_json(statement).encode("ascii"), mode=0o644)


def _check_place(root: Path) -> None:
    """Find out that a home can't be made before the ticket is used up."""
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=root) as probe:
            probe.write(bytes(PROBE_BYTES))
    except OSError as error:
        raise ConfigError(
            f"no home can be made here ({error.strerror})", where=str(root), mend="name another by --home"
        ) from error


def hand_in(ticket: Ticket, key: Ed25519PrivateKey, name: str, now_s: int) -> Welcome:
    """Use the ticket as the peer with that identity key, and check the answer."""
    peer = key.public_key().public_bytes_raw()
    leaf = guest_leaf(key, ticket.token, datetime.fromtimestamp(now_s, UTC))
    request = pb.JoinRequest(token=ticket.token, peer=peer, nickname=name)
    try:
        reply = ask_to_join(ticket, leaf, request)
    except UnreachedError as error:
        raise _explained(ticket, error, now_s) from None
    return welcomed(ticket, reply, peer.hex(), now_s)


def welcomed(ticket: Ticket, reply: pb.JoinReply, joiner: str, now_s: int) -> Welcome:
    """What an answer holds. What is wrong in it is left out; `PloraError` where nothing works without it."""
    swarm = Swarm(reply.swarm_name, reply.swarm.hex(), reply.secret.hex())
    if len(reply.swarm) != 32 or len(reply.secret) != 32 or not _is_name(swarm.name):
        raise ProtocolError("the inviter's answer is no swarm", mend=ASK_AGAIN)
    if not swarm.id.startswith(ticket.swarm):
        what = f"the ticket is for another swarm than the one that answered ({swarm.name})"
        raise RefusedError(what, mend=ASK_AGAIN)
    key = invitation_key(ticket.token).public_key().public_bytes_raw()
    words = meeting_words(ticket.peer, joiner, key)
    inviter = Acquaintance(
        peer=ticket.peer,
        addresses=ticket.addresses,
        name=reply.inviter if _is_name(reply.inviter) else "",
        words=words,
        when=format_timestamp(now_s),
    )
    told = Told(
        neighbours=(inviter, *_neighbours(reply, {ticket.peer, joiner})),
        deny=tuple(peer.hex() for peer in reply.denied[:DENIED_MAX] if len(peer) == 32),
    )
    return Welcome(swarm, inviter.name, told, tuple(_owners(reply, swarm.id)), words)


def _neighbours(reply: pb.JoinReply, known: set[str]) -> list[Acquaintance]:
    found: dict[str, tuple[str, ...]] = {}
    for entry in reply.neighbours[:NEIGHBOURS_MAX]:
        addresses = tuple(one for one in entry.addresses[:ADDRESSES_MAX] if split(one))
        if len(entry.peer) == 32 and addresses and entry.peer.hex() not in known:
            found[entry.peer.hex()] = addresses
    return [Acquaintance(peer=peer, addresses=addresses) for peer, addresses in found.items()]


def _owners(reply: pb.JoinReply, swarm: str) -> list[tuple[OwnerRecord, Statement]]:
    """The valid ones among the owner records; what is wrong with the others is nobody's loss."""
    found: dict[bytes, tuple[OwnerRecord, Statement]] = {}
    for wire in reply.owners[:OWNERS_MAX]:
        try:
            statement = statement_from_pb(wire)
            record = open_statement(statement)
        except PloraError:
            continue
        if not isinstance(record, OwnerRecord) or record.swarm != swarm:
            continue
        if any(verify_statement(statement, key) for key in record.signing_keys()):
            found[statement.id] = (record, statement)
    return list(found.values())


def _is_name(text: str) -> bool:
    return 0 < len(text) <= NAME_CHARACTERS_MAX and text.isprintable()


def _explained(ticket: Ticket, error: UnreachedError, now_s: int) -> PloraError:
    """Why nobody took the ticket, from what came of each dial and a look at who answers there."""
    codes = dict(error.outcomes)
    for address in (address for address, code in error.outcomes if code in (NOT_LET_IN, ANOTHER_PEER, CLOCKS_APART)):
        try:
            found = peer_at(address)
        except (OSError, PloraError):
            continue
        if found.peer != ticket.peer:
            what = f"another peer than the inviter answers there ({found.peer[:12]}, not {ticket.peer[:12]})"
            return TransportError(what, where=address, mend=ASK_AGAIN)
        behind_s = found.leaf_made.timestamp() - now_s
        if codes[address] == CLOCKS_APART or behind_s > FUTURE_S_MAX:
            what = f"this host's clock says {format_timestamp(now_s)}, and the inviter's is far from it"
            return TransportError(what, where=address, mend="set the clock that is off, by `timedatectl set-ntp true`")
        what = "the inviter answers and doesn't take this ticket: it was used, taken back, or has expired there"
        return RefusedError(what, where=address, mend=ASK_AGAIN)
    address, code = error.outcomes[0]
    mend = "see that the inviter's peer runs (`plora status` there), and that its host can be reached from here"
    return TransportError(f"the inviter can't be reached: {OUTCOMES[code].what}", where=address, mend=mend)
