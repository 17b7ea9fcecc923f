"""How others come into the swarm through this peer: it makes tickets, and takes each of them once.

Rules:

- A ticket makes a member, never a believed owner. What is handed over: id, name and secret of the swarm, the deny-list,
  who this peer's neighbours are, and the records of the owner who works here, so that the newcomer knows them by name.
- A ticket is used up durably before anything is handed over, so that no crash makes it good again.
- Who came is recorded: when, by which invitation, and the three words that both sides can compare.
- An address that others can't reach is refused, with what to set.

Not handled here: which tickets are open (`plora.node.core.invitations`), keys and roots
(`plora.node.transport.invitation`).
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING

from plora.node.audit.facts import facts_of
from plora.node.core.events import Publish
from plora.node.core.invitations import INVITATIONS, Invitation, Invitations
from plora.node.driver.clock import read_clocks
from plora.node.gossip.addresses import is_local, is_open
from plora.node.joined import DENIED_MAX, NEIGHBOURS_MAX, OWNERS_MAX
from plora.node.store.disk import RowOp
from plora.node.store.store import Store
from plora.node.transport.invitation import invitation_key, invitation_root
from plora.proto.errors import FormatError, PloraError, RefusedError, StoreError, UsageError
from plora.proto.fields import check_id
from plora.proto.host_port import checked, join
from plora.proto.owner_files import read_owner_record
from plora.proto.records import BoundHit, Invited, Joined
from plora.proto.statement import Statement
from plora.proto.ticket import ADDRESSES_MAX, TOKEN_BYTES, Ticket
from plora.proto.wire import statement_to_pb
from plora.proto.words import meeting_words
from plora.v1 import peer_pb2 as pb

if TYPE_CHECKING:
    from plora.node.daemon.config import PeerConfig
    from plora.node.daemon.node import Node

HOUR_MS = 3_600_000
HOURS_DEFAULT = 24
HOURS_MAX = 24 * 7


class Joins:
    """The invitations of one running peer."""

    def __init__(self, node: Node, store: Store) -> None:
        self._node = node
        self._store = store
        self.book = Invitations(store.disk.rows(INVITATIONS), node.config.limits.invitations_max)
        self._roots: dict[bytes, bytes] = {}

    async def invite(self, name: str, addresses: Sequence[str] = (), hours: int = 0) -> Ticket:
        """A new ticket for somebody; the only copy. Raises `RefusedError` or `UsageError` with what to do instead."""
        _check(name, addresses, hours)
        now_ms = read_clocks().wall_ms
        reachable = tuple(addresses) or reachable_addresses(self._node.config, self._node.port)
        token = secrets.token_bytes(TOKEN_BYTES)
        expires_ms = now_ms + (hours or HOURS_DEFAULT) * HOUR_MS
        key = invitation_key(token).public_key().public_bytes_raw()
        self.book.open_max = self._node.config.limits.invitations_max
        try:
            rows = self.book.invite(Invitation(key, name, now_ms, expires_ms), now_ms)
        except RefusedError:
            self._node.driver.note(BoundHit("limits.invitations_max", self.book.open_max, self.book.open_max + 1))
            raise
        try:
            records = self.own_records()
            await self._commit(rows)
        except PloraError:
            self.book.forget(key)
            raise
        self._node.driver.note(Invited(name, expires_ms))
        self.introduce(records)
        own, swarm = self._node.core.config.peer, self._node.core.config.swarm
        return Ticket(own, reachable[:ADDRESSES_MAX], token, swarm[:8], now_ms // 1000, expires_ms // 1000, name)

    async def revoke(self, name: str) -> int:
        """How many open tickets of that name were taken back."""
        now_ms = read_clocks().wall_ms
        gone = [one for one in self.book.open(now_ms) if one.name == name]
        try:
            await self._commit(self.book.revoke(name, now_ms))
        except StoreError:  # a restart would open them again: whoever tries once more must still find them
            for one in gone:
                self.book.restore(one)
            raise
        return len(gone)

    def words_with(self, invitation: Invitation) -> str:
        """The three words that this peer shares with who came; empty while nobody did."""
        own = self._node.core.config.peer
        return meeting_words(own, invitation.peer, invitation.key) if invitation.peer else ""

    # What the transport asks

    def roots_pem(self) -> bytes:
        """The trust anchors of the tickets that are good right now."""
        open_ = {one.key for one in self.book.open(read_clocks().wall_ms)}
        self._roots = {key: self._roots.get(key) or invitation_root(key) for key in sorted(open_)}
        return b"".join(self._roots.values())

    async def join(self, peer: str, request: pb.JoinRequest) -> pb.JoinReply:
        """Use a ticket up, durably, and hand over the swarm; `RefusedError` where none is good."""
        if request.peer.hex() != peer or len(request.token) != TOKEN_BYTES:
            raise RefusedError("the request isn't the caller's own")
        welcome = self._welcome()  # before the ticket is used up, for a file that can't be read must not cost it
        key = invitation_key(request.token).public_key().public_bytes_raw()
        used, rows = self.book.use(key, peer, read_clocks().wall_ms)
        try:
            await self._commit(rows)
        except StoreError:
            self.book.restore(used)
            raise
        self._node.driver.note(Joined(peer, used.name, self.words_with(used)))
        return welcome

    # Inside

    def own_records(self) -> list[Statement]:
        """The records of the owners whose files lie in this home."""
        files = sorted(self._node.home.owner_folder.glob("*.owner"))
        records = [read_owner_record(path) for path in files[:OWNERS_MAX]]
        return [statement for statement, record in records if record.swarm == self._node.core.config.swarm]

    def introduce(self, records: Sequence[Statement]) -> None:
        """Let the swarm know owners by name."""
        if records:
            self._node.driver.handle(Publish(tuple(records), ()))

    def _welcome(self) -> pb.JoinReply:
        swarm, config = self._node.swarm, self._node.config
        neighbours = [
            pb.PeerEntry(peer=bytes.fromhex(one.peer), addresses=addresses[:ADDRESSES_MAX])
            for one in config.peer_addresses()
            if (addresses := [address for address in one.addresses if not is_local(address)])
        ]
        return pb.JoinReply(
            swarm=bytes.fromhex(swarm.id),
            swarm_name=swarm.name,
            secret=bytes.fromhex(swarm.secret),
            denied=[bytes.fromhex(peer) for peer in config.deny[:DENIED_MAX]],
            neighbours=neighbours[:NEIGHBOURS_MAX],
            inviter=self._node.name,
            owners=[statement_to_pb(one) for one in self.own_records()],
        )

    async def _commit(self, rows: Sequence[RowOp]) -> None:
        if rows:
            facts = facts_of(rows, read_clocks().wall_ms)
            await self._node.driver.blocking(INVITATIONS, lambda: self._store.commit(rows, facts))


def reachable_addresses(config: PeerConfig, port: int) -> tuple[str, ...]:
    """Where others can dial this peer, as configured. `RefusedError` says what to set where they can't."""
    if not config.dialable:
        what = "this peer only dials out (dialable: false), so nobody can come through it"
        raise RefusedError(what, mend="invite from a peer that others can reach")
    host, _ = checked(config.listen, "listen", listening=True)
    addresses = config.advertise or (join(host, port),)
    if all(map(is_local, addresses)):
        what = f"this peer listens on {addresses[0]}, which only this machine reaches"
        mend = (
            f"set `listen: 0.0.0.0:{port}` and `advertise: [HOST:{port}]` in peer.yaml, HOST being this machine's name "
            f"or address for others, and start it again; for a peer on this machine, say `--address {addresses[0]}`"
        )
        raise RefusedError(what, mend=mend)
    if any(map(is_open, addresses)):
        what = f"it isn't known how others reach this peer, which listens on {config.listen}"
        mend = f"say so by `plora invite NAME --address HOST:{port}`, or set `advertise: [HOST:{port}]` in peer.yaml"
        raise RefusedError(what, mend=mend)
    return tuple(addresses)


def _check(name: str, addresses: Sequence[str], hours: int) -> None:
    try:
        check_id(name)
    except (ValueError, FormatError) as error:
        raise UsageError(f"'{name}' {error}", mend="write a name such as bob") from error
    for address in addresses:
        checked(address, "--address")
    if len(addresses) > ADDRESSES_MAX:
        raise UsageError(f"{len(addresses)} addresses are too many", where="--address", mend=f"{ADDRESSES_MAX} at most")
    if hours > HOURS_MAX:
        raise UsageError(f"{hours} hours are too long", where="--hours", mend=f"{HOURS_MAX} at most")
