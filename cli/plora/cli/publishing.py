"""`plora publish`: a signed folder as it is; any other PEFT folder is described and signed first."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from plora.cli.options import (
    DAY_S,
    BaseDigest,
    Days,
    Domain,
    Home,
    Json,
    Key,
    Licence,
    OnBase,
    OwnerRecords,
    PlasmidId,
    Probes,
    Quiet,
    Version,
    ask,
    confirm,
)
from plora.cli.output import Output, safe
from plora.cli.running import root_of, running_peer
from plora.proto.errors import NoAnswerError, PeerNotRunningError, PloraError, UsageError

if TYPE_CHECKING:
    from plora.cli.signing import Said
    from plora.merge.draft import Facts
    from plora.proto.manifest import Manifest
    from plora.proto.owner_files import Owner
    from plora.proto.statement import Statement


WAIT_TOLD_S = 5.0

Scored = Callable[["Facts", "Owner"], "Facts"]
"""Fills in what this machine's detectors make of the adapter."""


def publish(
    folder: Annotated[Path, typer.Argument(help="A PEFT adapter folder, signed or not.", metavar="FOLDER")],
    home: Home = None,
    owner: OwnerRecords = None,
    domain: Domain = None,
    plasmid_id: PlasmidId = None,
    version: Version = None,
    base: OnBase = None,
    base_digest: BaseDigest = None,
    licence: Licence = None,
    days: Days = None,
    key: Key = None,
    probes: Probes = False,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Share an adapter folder: the peer stores, judges and spreads it."""
    from plora.cli.signing import Said, check_folder, with_own_score
    from plora.proto.wire import statement_to_pb
    from plora.v1 import admin_pb2 as pb

    output = Output(json_, quiet)
    check_folder(folder)
    records = _records(owner or [])
    said = Said(domain, plasmid_id, version, base, base_digest, licence, days)
    with running_peer(home) as client, _undone_if_refused(folder):
        client.call("Status", pb.StatusRequest())  # before anything is signed
        score = partial(with_own_score, folder, home=root_of(home), probes=probes)
        signer = _signed(output, client, folder, said, key, root_of(home), score)
        records += signer.statements if signer else ()
        sent = [statement_to_pb(one) for one in records]
        request = pb.PublishRequest(folder=str(folder.resolve()), statements=sent)
        reply = client.wait("Publish", request, _waiting(output, client), WAIT_TOLD_S)
    document = {"name": reply.name, "content_id": reply.content_id, "note": reply.note}
    output.document(document, [f"published {reply.name}"])
    if reply.note:
        output.hint(f"This peer spreads it but doesn't use it: {reply.note}")
    output.hint(f"Next: plora ls   ·   plora why {reply.name}")


def _waiting(output: Output, client: Any) -> Callable[[float], None]:
    """Says what the peer is at while its examiner has other adapters before this one; a busy peer may not say."""
    from plora.v1 import admin_pb2 as pb

    def told(waited_s: float) -> None:
        try:
            examined = client.call("Status", pb.StatusRequest()).examining
        except PloraError:
            output.hint(f"Waiting for {waited_s:.0f} s: the peer doesn't say what it is at.")
            return
        busy = f"examines {examined} adapters, one after another" if examined > 1 else "examines it"
        output.hint(f"Waiting for {waited_s:.0f} s: the peer {busy if examined else 'stores and spreads it'}.")

    return told


def _records(paths: list[Path]) -> list[Statement]:
    """The owners' records that go with it; UsageError for a file that is none."""
    from plora.proto.owner_chain import read_owner_file

    try:
        return [statement for path in paths for statement in read_owner_file(path).statements]
    except PloraError as error:
        raise UsageError(f"{error.where} {error.what}", where="--owner", mend=error.mend) from error


@contextmanager
def _undone_if_refused(folder: Path) -> Iterator[None]:
    """Leave plora.yml as it was, or away, where the peer takes nothing: what was signed for that would be in the way.

    A peer that gave no answer may have taken it all the same.
    """
    from plora.proto.yaml_view import PLORA_YML

    path = folder / PLORA_YML
    before = path.read_bytes() if path.exists() else None
    try:
        yield
    except (NoAnswerError, PeerNotRunningError):
        raise
    except PloraError:
        if before is None:
            path.unlink(missing_ok=True)
        elif path.read_bytes() != before:
            path.write_bytes(before)
        raise


def _signed(
    output: Output, client: Any, folder: Path, said: Said, key: Path | None, home: Path, score: Scored
) -> Owner | None:
    """Who signed the folder just now: it was never signed, or it changed since. None where it goes out as it lies."""
    from plora.cli.revoking import own_key
    from plora.cli.signing import signed_before
    from plora.proto.owner_files import load_owner

    before = signed_before(folder)
    if before is None:
        return _sign(output, client, folder, load_owner(key or own_key(home)), said, score, home)
    if sys.stdin.isatty() and _changed(folder, before):
        signer = load_owner(key or own_key(home))
        name = signer.record.name
        confirm(f"{safe(folder)} has changed since version {before.version} was signed. Sign it anew as {name}?")
        return _sign(output, client, folder, signer, said, score, home)
    _refuse_facts(folder, before, said, key)
    return None


def _changed(folder: Path, signed: Manifest) -> bool:
    from plora.proto.chunks import describe_artifact
    from plora.proto.manifest import ARTIFACT_FILENAME

    return describe_artifact(folder / ARTIFACT_FILENAME).sha256 != signed.artifacts.sha256


def _refuse_facts(folder: Path, signed: Manifest, said: Said, key: Path | None) -> None:
    """What a signature covers isn't changed by publishing."""
    from plora.proto.owner_files import load_owner

    differing = said.against(signed)
    if key is not None and load_owner(key).key.public.key_id != signed.key_id:
        differing.append("--key")
    if differing:
        what = f"is signed already, so {', '.join(differing)} can't change it"
        mend = f"sign it anew by `plora sign {folder} …`, or leave the options out"
        raise UsageError(what, where=str(folder), mend=mend)


def _sign(output: Output, client: Any, folder: Path, owner: Owner, said: Said, score: Scored, home: Path) -> Owner:
    """Describe a folder in a signed plora.yml; on a terminal, ask for what can't be known."""
    from plora.cli.signing import check_version, complete_facts, id_of, next_version
    from plora.merge.draft import sign_folder

    check_version(said.version, home)
    newest = _newest(client, owner, said.plasmid_id or id_of(folder))
    complete = complete_facts(
        folder,
        said,
        now_s=int(time.time()),
        version=next_version(folder, home, newest=newest),
        ask=ask if sys.stdin.isatty() else None,
    )
    manifest = sign_folder(folder, owner, score(complete, owner)).manifest
    days = (complete.expires_s - complete.issued_s) // DAY_S
    output.hint(
        f"Signed by {owner.record.name}: {manifest.plasmid_id} version {manifest.version}, domain {manifest.domain}, "
        f"base {manifest.base_model}, rank {manifest.lora.r}, licence {complete.licence}, for {days} days."
    )
    return owner


def _newest(client: Any, owner: Owner, plasmid_id: str) -> int:
    """The highest version of that plasmid of this owner that the peer knows; 0 for none."""
    from plora.v1 import admin_pb2 as pb

    names = (one.name for one in client.call("List", pb.ListRequest()).plasmids if one.owner == owner.id)
    of_id = (name.rpartition("@") for name in names if name.rpartition("@")[0].rpartition("/")[2] == plasmid_id)
    return max((int(version) for _, _, version in of_id if version.isdigit()), default=0)
