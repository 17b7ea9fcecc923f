"""The admin service: what a person asks of their running peer, over a Unix socket that only they can open.

Rules:

- The socket's folder is made 0700 *before* the socket is bound, since grpc makes sockets that everybody can open.
- Answers are views of the core's state; whatever changes something becomes an event of the core.
- Publishing reads a folder (never an archive): `plora.yml` and `adapter_model.safetensors`. Bytes that aren't what the
  manifest says, or that every peer would refuse, are refused here, before anything is stored or spread.
- Errors keep their kind: usage and configuration INVALID_ARGUMENT, refused FAILED_PRECONDITION, anything else of ours
  ABORTED.
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from plora.node.admin.auditing import acknowledge, audit_lines, audit_trouble, verified
from plora.node.admin.following import Following
from plora.node.admin.inviting import invitations_reply, invite
from plora.node.admin.measuring import keep_measure
from plora.node.admin.neighbours import lan_reply, peers_reply
from plora.node.admin.owning import freshness_reply, introduce
from plora.node.admin.pinging import ping
from plora.node.admin.releasing import release
from plora.node.admin.replies import kept_message, plasmid_message, status_reply
from plora.node.admin.reputing import forgive, reputations_reply
from plora.node.admin.rooting import root_reply
from plora.node.admin.serving import locate, roll_back
from plora.node.admin.spreading import check_bytes, check_publishable, check_taken_up, held_here, spread
from plora.node.admin.trusting import attest, judge, owners_reply, revoke, settled
from plora.node.admin.work import merges_reply, transfers_reply
from plora.node.core import view
from plora.node.core.belief_view import beliefs
from plora.node.core.council_view import certificate_of, consensus
from plora.node.core.events import PinAsked, RemoveAsked, RoomNeeded
from plora.node.core.owners import attestations
from plora.node.core.plasmid import Plasmid
from plora.node.doctor.running import examine_node
from plora.node.driver.clock import read_clocks
from plora.node.driver.shelf import Shelf, copy_folder
from plora.node.store.store import Store
from plora.node.transport.grpc_setup import grpc
from plora.proto.chunks import ArtifactDescription
from plora.proto.errors import AdapterError, ConfigError, PloraError, RefusedError, UsageError
from plora.proto.manifest import ARTIFACT_FILENAME, Manifest
from plora.proto.owner_chain import read_owner_file
from plora.proto.statement import Statement
from plora.proto.wire import statement_from_pb
from plora.proto.yaml_view import PLORA_YML, SignedManifest, read_plora_yml, to_yaml
from plora.v1 import admin_pb2 as pb
from plora.v1 import admin_pb2_grpc

if TYPE_CHECKING:
    from plora.node.daemon.node import Node

Reply = TypeVar("Reply")

SOCKET_PATH_MAX = 100
IMPORT_KEY = "import"

_CODES: tuple[tuple[type[PloraError], grpc.StatusCode], ...] = (
    (UsageError, grpc.StatusCode.INVALID_ARGUMENT),
    (ConfigError, grpc.StatusCode.INVALID_ARGUMENT),
    (RefusedError, grpc.StatusCode.FAILED_PRECONDITION),
    (PloraError, grpc.StatusCode.ABORTED),
)


def _answered(method: Callable[[Any, Any, Any], Awaitable[Reply]]) -> Callable[[Any, Any, Any], Awaitable[Reply]]:
    """The RPC with its errors told to whoever called it, each with the code of its kind."""

    @functools.wraps(method)
    async def answer(service: Any, request: Any, context: Any) -> Reply:
        try:
            return await method(service, request, context)
        except TimeoutError:
            await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "it took too long; it goes on in the background")
        except PloraError as error:
            code = next(code for kind, code in _CODES if isinstance(error, kind))
            await context.abort(code, str(error))
        raise AssertionError("abort raises")

    return answer


class AdminService(admin_pb2_grpc.AdminServicer):
    """Answers for one node."""

    def __init__(self, node: Node, store: Store, shelf: Shelf) -> None:
        self._node = node
        self._store = store
        self._shelf = shelf
        self._started_ns = read_clocks().mono_ns

    async def Status(self, request: pb.StatusRequest, context: Any) -> pb.StatusReply:  # noqa: N802 - the RPC's name
        """The peer in a few numbers."""
        uptime_ms = (read_clocks().mono_ns - self._started_ns) // 1_000_000
        return status_reply(self._node, uptime_ms)

    async def List(self, request: pb.ListRequest, context: Any) -> pb.ListReply:  # noqa: N802
        """Every live plasmid, narrowed to a domain or state."""
        core, now = self._node.core, read_clocks()
        found = [plasmid_message(self._node, one, now) for one in core.desk.book.live.values()]
        found += map(kept_message, core.desk.wishes.departed())
        wanted = [one for one in found if request.domain in ("", one.domain) and request.state in ("", one.state)]
        wanted.sort(key=lambda one: (one.name, one.content_id))
        return pb.ListReply(plasmids=wanted)

    @_answered
    async def Show(self, request: pb.ShowRequest, context: Any) -> pb.ShowReply:  # noqa: N802
        """A plasmid with its manifest."""
        plasmid = view.one(self._node.core, request.name)
        message = plasmid_message(self._node, plasmid, read_clocks())
        return pb.ShowReply(plasmid=message, yaml=to_yaml(self._signed(plasmid)))

    @_answered
    async def Why(self, request: pb.WhyRequest, context: Any) -> pb.WhyReply:  # noqa: N802
        """What the gate saw, or why it isn't here."""
        document = view.why(self._node.core, request.name, read_clocks(), found=request.found)
        return pb.WhyReply(document=json.dumps(document, sort_keys=True))

    async def Consensus(self, request: pb.ConsensusRequest, context: Any) -> pb.ConsensusReply:  # noqa: N802
        """Who votes, and what they decided."""
        return pb.ConsensusReply(document=json.dumps(consensus(self._node.core), sort_keys=True))

    @_answered
    async def Certificate(  # noqa: N802
        self, request: pb.CertificateRequest, context: Any
    ) -> pb.CertificateReply:
        """A plasmid's certificate, for whoever has no peer."""
        core = self._node.core
        plasmid = view.one(core, request.name)
        return pb.CertificateReply(name=view.name_of(core, plasmid), text=certificate_of(core, plasmid))

    @_answered
    async def Publish(self, request: pb.PublishRequest, context: Any) -> pb.PublishReply:  # noqa: N802
        """Take a signed folder into the store and the seen set."""
        return await self._publish(request)

    @_answered
    async def Fetch(self, request: pb.FetchPlasmidRequest, context: Any) -> pb.FetchPlasmidReply:  # noqa: N802
        """Ask for a plasmid's bytes, wait for a verdict with them, and copy the folder if a target is named."""
        return await self._fetch(request)

    @_answered
    async def Pin(self, request: pb.PinRequest, context: Any) -> pb.PinReply:  # noqa: N802
        """Keep a plasmid's bytes whatever happens, or no longer."""
        content_id, name = view.wished(self._node.core, request.name)
        self._node.driver.handle(PinAsked(content_id, request.pinned))
        return pb.PinReply(content_id=content_id.hex(), name=name)

    @_answered
    async def Remove(self, request: pb.RemoveRequest, context: Any) -> pb.RemoveReply:  # noqa: N802
        """Delete a plasmid's bytes here, and don't fetch them again before somebody asks for it."""
        content_id, name = view.wished(self._node.core, request.name)
        self._node.driver.handle(RemoveAsked(content_id))
        await self._node.driver.shelved()
        return pb.RemoveReply(content_id=content_id.hex(), name=name)

    @_answered
    async def Release(self, request: pb.ReleaseRequest, context: Any) -> pb.ReleaseReply:  # noqa: N802
        """Let a plasmid out of quarantine, at its person's word."""
        return await release(self._node, request.name)

    @_answered
    async def Revoke(self, request: pb.RevokeRequest, context: Any) -> pb.RevokeReply:  # noqa: N802
        """Spread a revocation that the caller signed."""
        return await revoke(self._node, request)

    async def Peers(self, request: pb.ListPeersRequest, context: Any) -> pb.ListPeersReply:  # noqa: N802
        """Neighbours and links."""
        return peers_reply(self._node)

    async def Doctor(self, request: pb.DoctorRequest, context: Any) -> pb.DoctorReply:  # noqa: N802
        """What is wrong with this peer, and what mends it."""
        now = read_clocks()
        found = examine_node(self._node, now, (now.mono_ns - self._started_ns) // 1_000_000)
        found += await audit_trouble(self._node, self._store)
        return pb.DoctorReply(findings=[pb.Finding(check=one.check, what=one.what, mend=one.mend) for one in found])

    async def Audit(self, request: pb.AuditRequest, context: Any) -> AsyncIterator[pb.AuditReply]:  # noqa: N802
        """What this peer decided, entry by entry."""
        for line in await audit_lines(self._node, self._store, request):
            yield pb.AuditReply(line=line)

    @_answered
    async def VerifyAudit(self, request: pb.VerifyAuditRequest, context: Any) -> pb.VerifyAuditReply:  # noqa: N802
        """Whether anybody changed what this peer decided."""
        return await verified(self._node, self._store, request)

    @_answered
    async def AcknowledgeAudit(  # noqa: N802
        self, request: pb.AcknowledgeAuditRequest, context: Any
    ) -> pb.VerifyAuditReply:
        """Write down that a person knows of what is wrong at an entry."""
        return await acknowledge(self._node, self._store, request)

    @_answered
    async def CopyRows(self, request: pb.CopyRowsRequest, context: Any) -> pb.CopyRowsReply:  # noqa: N802
        """The rows as of now, in a file of the home, for a backup."""
        return pb.CopyRowsReply(path=str(await asyncio.to_thread(self._node.copy_rows)))

    async def Lan(self, request: pb.LanRequest, context: Any) -> pb.LanReply:  # noqa: N802
        """Peers of the local network."""
        return lan_reply(self._node)

    @_answered
    async def Ping(self, request: pb.PingRequest, context: Any) -> pb.PingReply:  # noqa: N802
        """Both directions between this peer and a neighbour."""
        return await ping(self._node, request.name)

    async def Merges(self, request: pb.MergesRequest, context: Any) -> pb.MergesReply:  # noqa: N802
        """The merge that stands for each base."""
        await self._node.driver.shelved()
        return merges_reply(self._node.core, self._shelf)

    @_answered
    async def Measured(self, request: pb.MeasuredRequest, context: Any) -> pb.MeasuredReply:  # noqa: N802
        """Keep what somebody measured of a merge."""
        return await keep_measure(self._node, self._shelf, request)

    @_answered
    async def Rollback(self, request: pb.RollbackRequest, context: Any) -> pb.RollbackReply:  # noqa: N802
        """Serve the merge before, or the newest again."""
        return await roll_back(self._node, self._shelf, request)

    @_answered
    async def Locate(self, request: pb.LocateRequest, context: Any) -> pb.LocateReply:  # noqa: N802
        """The folder of an accepted plasmid or of a served merge."""
        return await locate(self._node, self._shelf, request.name)

    async def Transfers(self, request: pb.TransfersRequest, context: Any) -> pb.TransfersReply:  # noqa: N802
        """What is being fetched, and how much was given."""
        return transfers_reply(self._node.core, read_clocks())

    @_answered
    async def Web(self, request: pb.WebRequest, context: Any) -> pb.WebReply:  # noqa: N802
        """Where the web page is; it is opened if it isn't yet."""
        return pb.WebReply(url=await self._node.web.open(), token_file=str(self._node.home.web_token))

    @_answered
    async def Reload(self, request: pb.ReloadRequest, context: Any) -> pb.ReloadReply:  # noqa: N802
        """Read neighbours, trust and policy again."""
        node = self._node
        return pb.ReloadReply(changed=node.reload_trust() if request.trust_only else node.reload())

    @_answered
    async def Invite(self, request: pb.InviteRequest, context: Any) -> pb.InviteReply:  # noqa: N802
        """A new ticket for somebody."""
        return await invite(self._node, request)

    async def Invitations(  # noqa: N802
        self, request: pb.InvitationsRequest, context: Any
    ) -> pb.InvitationsReply:
        """Open, expired and used tickets, and who came."""
        return invitations_reply(self._node)

    @_answered
    async def RevokeInvitation(  # noqa: N802
        self, request: pb.RevokeInvitationRequest, context: Any
    ) -> pb.RevokeInvitationReply:
        """Take back the open tickets of a name."""
        return pb.RevokeInvitationReply(revoked=await self._node.joins.revoke(request.name))

    async def Owners(self, request: pb.OwnersRequest, context: Any) -> pb.OwnersReply:  # noqa: N802
        """The owners that a name may mean, or the strangers of whom something waits."""
        return owners_reply(self._node, request.name)

    async def Reputations(  # noqa: N802
        self, request: pb.ReputationsRequest, context: Any
    ) -> pb.ReputationsReply:
        """What others have earned here."""
        return reputations_reply(self._node, request.name)

    @_answered
    async def Forgive(self, request: pb.ForgiveRequest, context: Any) -> pb.ForgiveReply:  # noqa: N802
        """Let somebody begin again as a newcomer."""
        return forgive(self._node, request.subject)

    @_answered
    async def Judge(self, request: pb.JudgeRequest, context: Any) -> pb.JudgeReply:  # noqa: N802
        """Fetch a plasmid and say what the gate sees of it, for somebody who may sign it too."""
        return await judge(self._node, request.name)

    @_answered
    async def Attest(self, request: pb.AttestRequest, context: Any) -> pb.AttestReply:  # noqa: N802
        """Spread a co-signature that the caller made."""
        return await attest(self._node, request)

    @_answered
    async def Introduce(self, request: pb.IntroduceRequest, context: Any) -> pb.IntroduceReply:  # noqa: N802
        """Spread an owner's records and revocations of keys."""
        return await introduce(self._node, request)

    async def Beliefs(self, request: pb.BeliefsRequest, context: Any) -> pb.BeliefsReply:  # noqa: N802
        """Whom this peer believes, and how new it may believe to be."""
        return pb.BeliefsReply(document=json.dumps(beliefs(self._node.core, read_clocks()), sort_keys=True))

    async def Freshness(self, request: pb.FreshnessRequest, context: Any) -> pb.FreshnessReply:  # noqa: N802
        """How fresh this peer is by the root that is pinned."""
        return freshness_reply(self._node)

    @_answered
    async def Root(self, request: pb.RootRequest, context: Any) -> pb.RootReply:  # noqa: N802
        """The pinned root, and what a revocation by its owners would change."""
        return root_reply(self._node, request)

    async def Events(self, request: pb.EventsRequest, context: Any) -> AsyncIterator[pb.EventsReply]:  # noqa: N802
        """The records of this boot after `after_seq` (0: all), and with `follow` those to come."""
        following = Following(self._node.log)
        try:
            async for line in following.lines(to_come=request.follow):
                if _wanted(line, request):
                    yield pb.EventsReply(line=line)
        finally:
            following.leave()

    # Publishing

    async def _publish(self, request: pb.PublishRequest) -> pb.PublishReply:
        folder = Path(request.folder)
        signed = await asyncio.to_thread(read_plora_yml, folder / PLORA_YML)
        if signed.manifest.swarm != self._node.core.config.swarm:
            mend = "sign it with a key of this swarm, such as the one that `plora init` made here"
            raise RefusedError("the folder is signed for another swarm", where=str(folder), mend=mend)
        statement = signed.statement()
        check_publishable(self._node, statement, signed.manifest, str(folder))
        artifact = folder / ARTIFACT_FILENAME
        await asyncio.to_thread(lambda: _opened(artifact).close())
        examined = await check_bytes(self._node, statement, signed.manifest, artifact)
        records = [*map(statement_from_pb, request.statements), *self._own_records(signed.manifest.owner)]
        await self._make_room(signed.manifest.artifacts.size_bytes)
        try:
            await self._node.driver.blocking(IMPORT_KEY, lambda: self._import(folder, signed.manifest))
        except BaseException:
            self._node.driver.handle(RoomNeeded(0))
            raise
        statements = (*records, statement, *signed.attestations())
        try:
            await spread(self._node, statements, statement, (signed.manifest.artifacts.sha256,), examined)
        except RefusedError as error:
            mend = "name its owner's record by --owner, if the key is not of this home"
            raise RefusedError(error.what, where=str(folder), mend=mend) from error
        check_taken_up(self._node, statement, str(folder))
        plasmid = view.one(self._node.core, statement.id.hex())
        name, note = view.name_of(self._node.core, plasmid), held_here(self._node, statement)
        return pb.PublishReply(name=name, content_id=statement.id.hex(), note=note)

    async def _make_room(self, size_bytes: int) -> None:
        """Have others' bytes give way to one's own, and wait until they are gone."""
        driver, held = self._node.driver, self._node.core.desk.larder.held
        before = list(held)
        driver.handle(RoomNeeded(size_bytes))
        await driver.shelved()
        for digest in [digest for digest in before if digest not in held]:
            await driver.blocking(digest, lambda: None)

    def _own_records(self, owner: str) -> list[Statement]:
        """The owner's records and who signed them, where their file lies in this home."""
        found = map(read_owner_file, sorted(self._node.home.owner_folder.glob("*.owner")))
        return [statement for file in found if file.id == owner for statement in file.statements]

    def _import(self, folder: Path, manifest: Manifest) -> ArtifactDescription:
        with _opened(folder / ARTIFACT_FILENAME) as source:
            described = self._store.import_blob(source, manifest.artifacts.chunk_bytes)
        if described.sha256 != manifest.artifacts.sha256:
            if not self._node.core.desk.book.of_digest(described.sha256):
                self._store.drop_blob(described.sha256)
            raise RefusedError(
                f"the bytes are {described.sha256[:12]}…, the manifest says {manifest.artifacts.sha256[:12]}…",
                where=str(folder / ARTIFACT_FILENAME),
                mend="sign it again by `plora sign`, or restore the file",
            )
        return described

    # Fetching

    async def _fetch(self, request: pb.FetchPlasmidRequest) -> pb.FetchPlasmidReply:
        plasmid = await settled(self._node, request.name)
        standing = view.row(self._node.core, plasmid, read_clocks())
        if not plasmid.usable:
            said = f"{standing['state']}: {standing['sentence'] or standing['reason']}"
            raise RefusedError(said, where=request.name, mend=f"see `plora why {request.name}`")
        if self._node.core.desk.carrying:
            return pb.FetchPlasmidReply(content_id=plasmid.content_id.hex(), state=standing["state"])
        folder = str(self._node.home.adapters / plasmid.name)
        if request.target:
            target = Path(request.target)
            text = to_yaml(self._signed(plasmid))
            await self._node.driver.blocking(IMPORT_KEY, lambda: copy_folder(Path(folder), target, text))
            folder = str(target)
        return pb.FetchPlasmidReply(content_id=plasmid.content_id.hex(), state=standing["state"], folder=folder)

    def _signed(self, plasmid: Plasmid) -> SignedManifest:
        return SignedManifest.of(plasmid.statement, attestations(self._node.core, plasmid))


async def serve_admin(socket: Path, service: AdminService) -> grpc.aio.Server:
    """Listen on the socket; a stale one of a killed peer is replaced, since the home's lock is ours."""
    if len(os.fsencode(socket)) > SOCKET_PATH_MAX:
        raise UsageError("the path of the admin socket is too long", where=str(socket), mend="use a shorter --home")
    await asyncio.to_thread(_prepare_folder, socket)
    server = grpc.aio.server()
    admin_pb2_grpc.add_AdminServicer_to_server(service, server)  # type: ignore[no-untyped-call]
    server.add_insecure_port(f"unix:{socket}")
    await server.start()
    return server


def _prepare_folder(socket: Path) -> None:
    socket.parent.mkdir(mode=0o700, exist_ok=True)
    socket.parent.chmod(0o700)
    socket.unlink(missing_ok=True)


def _opened(path: Path) -> BinaryIO:
    """A regular file, not followed through a link."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise AdapterError(f"can't be read ({error.strerror})", where=str(path)) from error
    stream = os.fdopen(descriptor, "rb")
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        stream.close()
        raise AdapterError("is not a regular file", where=str(path))
    return stream


def _wanted(line: str, request: pb.EventsRequest) -> bool:
    record = json.loads(line)
    if request.after_seq and record["seq"] <= request.after_seq:
        return False
    return not request.kinds or record["kind"] in request.kinds
