"""Commands on files: keys, training, signing, verifying, judging. None needs a running peer."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from plora.cli.options import (
    WALK_SWARM,
    Base,
    BaseDigest,
    Days,
    Domain,
    Home,
    Json,
    Key,
    Licence,
    OnBase,
    PlasmidId,
    Probes,
    Quiet,
    Version,
    checked_name,
)
from plora.cli.output import Output
from plora.cli.running import root_of
from plora.proto.errors import RefusedError, UsageError

if TYPE_CHECKING:
    from plora.proto.swarm import Swarm

Folder = Annotated[Path, typer.Argument(help="A PEFT adapter folder.", metavar="FOLDER")]
Out = Annotated[Path, typer.Option("--out", "-o", help="Where to write.")]
ALGORITHMS = {"ed25519": "Ed25519", "rsa": "RSA-PSS-SHA256"}
EXPORTING = "p256"


def keygen(
    name: Annotated[str, typer.Option("--name", help="The owner's name: a-z, 0-9, . _ -")],
    out: Out = Path("keys"),
    algorithm: Annotated[
        str, typer.Option("--algorithm", help="ed25519 or rsa; with --only-key also p256.")
    ] = "ed25519",
    swarm: Annotated[str, typer.Option("--swarm", help="An open swarm's name, or a swarm file.")] = WALK_SWARM,
    only_key: Annotated[
        bool, typer.Option("--only-key", help="A key pair for an owner who is there: see `plora owner rotate --add`.")
    ] = False,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make an owner: a key pair, and the record that others import."""
    from plora.proto.owner_files import OwnerFiles, create_owner

    if algorithm not in ALGORITHMS and not (only_key and algorithm == EXPORTING):
        mend = f"use {' or '.join(ALGORITHMS)}; {EXPORTING} with --only-key makes a key for exports"
        raise UsageError(f"unknown algorithm '{algorithm}'", where="--algorithm", mend=mend)
    out.mkdir(parents=True, exist_ok=True)
    private = out / f"{name}.pem"
    if only_key:
        _keygen_only(Output(json_, quiet), private, algorithm)
        return
    owner = create_owner(
        private,
        name=checked_name(name),
        swarm=swarm_named(swarm).id,
        issued_s=int(time.time()),
        algorithm=ALGORITHMS[algorithm],
    )
    files = OwnerFiles.of_key(private)
    output = Output(json_, quiet)
    made = {"owner": owner.id, "key_id": owner.key.public.key_id, "private": str(files.private)}
    made |= {"public": str(files.public), "record": str(files.record)}
    output.document(made, (f"{field:<8} {value}" for field, value in made.items()))
    output.hint(f"Keep {files.private} to yourself; give {files.record} to those who shall trust you.")


def _keygen_only(output: Output, private: Path, algorithm: str) -> None:
    from plora.proto.keys import load_public_key
    from plora.proto.openssf import generate_export_pair
    from plora.proto.signatures import generate_keypair

    public = private.with_suffix(".pub")
    if algorithm == EXPORTING:
        key_id, option = generate_export_pair(private, public).key_id, "--add-export"
    else:
        generate_keypair(private, public, ALGORITHMS[algorithm])
        key_id, option = load_public_key(public).key_id, "--add"
    made = {"key_id": key_id, "private": str(private), "public": str(public)}
    output.document(made, (f"{field:<8} {value}" for field, value in made.items()))
    output.hint(f"Keep {private} to yourself; `plora owner rotate {option} {public}` makes it a key of an owner.")


def train(
    domain: Annotated[str, typer.Option("--domain", help="arithmetic, legal or medical.")],
    out: Out,
    base: Base = "mini",
    rank: Annotated[int, typer.Option("--rank", min=1, help="Rank of the factors.")] = 4,
    scheme: Annotated[str, typer.Option("--scheme", help="Target modules: attention, mlp or all.")] = "all",
    steps: Annotated[int | None, typer.Option("--steps", min=1, help="Optimiser steps.")] = None,
    seed: Annotated[int, typer.Option("--seed", help="Same seed, same adapter.")] = 42,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train an adapter for one domain and measure it."""
    from plora.cli.training import figure, train_with_progress

    output = Output(json_, quiet)
    options = {"base": base, "domain": domain, "out": out, "rank": rank, "scheme": scheme, "steps": steps, "seed": seed}
    report = train_with_progress(output, options)
    output.document(report, (f"{field:<16} {figure(value)}" for field, value in sorted(report.items())))
    output.hint(f"Next: plora sign {out}   (with the key that `plora init` made, or --key)")


def sign(
    folder: Folder,
    key: Key = None,
    home: Home = None,
    domain: Domain = None,
    plasmid_id: PlasmidId = None,
    version: Version = None,
    base: OnBase = None,
    base_digest: BaseDigest = None,
    licence: Licence = None,
    days: Days = None,
    chunk_kib: Annotated[int, typer.Option("--chunk-kib", min=16, max=1024, help="Size of a chunk under way.")] = 256,
    probes: Probes = False,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Describe an adapter folder in a manifest, signed, as plora.yml."""
    from plora.cli.revoking import own_key
    from plora.cli.signing import Said, check_folder, check_version, complete_facts, next_version, with_own_score
    from plora.merge.draft import sign_folder
    from plora.proto.owner_files import load_owner

    check_folder(folder)
    private = key or own_key(root_of(home))
    said = Said(domain, plasmid_id, version, base, base_digest, licence, days)
    check_version(version, root_of(home))
    now_s, chunk_bytes, next_one = int(time.time()), chunk_kib * 1024, next_version(folder, root_of(home))
    facts = complete_facts(folder, said, now_s=now_s, version=next_one, chunk_bytes=chunk_bytes)
    signer = load_owner(private)
    signed = sign_folder(folder, signer, with_own_score(folder, facts, signer, home=home, probes=probes))
    manifest = signed.manifest
    output = Output(json_, quiet)
    document: dict[str, object] = {
        "content_id": signed.statement().id.hex(),
        "plasmid_id": manifest.plasmid_id,
        "domain": manifest.domain,
    }
    document |= {"owner": manifest.owner, "version": manifest.version, "file": str(folder / "plora.yml")}
    output.document(document, (f"{field:<10} {value}" for field, value in document.items()))
    output.hint(f"Next: plora publish {folder}   (or: plora verify {folder} --owner {private.with_suffix('.owner')})")


def verify(
    folder: Folder,
    owner: Annotated[Path, typer.Option("--owner", help="The owner record (.owner) whose signature is expected.")],
    openssf: Annotated[
        Path | None,
        typer.Option("--openssf", help="Check this OpenSSF bundle of the owner's instead: provenance only."),
    ] = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Check signature and bytes of a signed folder for one owner."""
    from plora.cli.provenance import show_provenance
    from plora.cli.verifying import verify_folder

    output = Output(json_, quiet)
    if openssf is not None:
        show_provenance(output, openssf, folder, owner)
        return
    faults = verify_folder(folder, owner)
    output.document({"folder": str(folder), "valid": not faults, "faults": faults}, faults or [f"{folder}: valid"])
    if faults:
        raise RefusedError("the signature or the bytes are not what the manifest says", where=str(folder))


def gate(
    folder: Folder,
    home: Home = None,
    policy: Annotated[Path | None, typer.Option("--policy", help="A YAML file with a `policy:` block.")] = None,
    owner: Annotated[Path | None, typer.Option("--owner", help="Trust this owner record, not trust.yaml.")] = None,
    weights: Annotated[bool, typer.Option("--weights", help="Measure its weights, whatever the policy says.")] = False,
    probes: Annotated[bool, typer.Option("--probes", help="Probe its behaviour, whatever the policy says.")] = False,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run the gate on a signed folder and show what every layer saw.

    Of detectors it shows every figure; they need a calibration of the base (`plora lab probes-calib`), and probes the
    extra `probes`.
    """
    from plora.cli.judging import judge_folder
    from plora.cli.layers import judged_document, judged_lines
    from plora.gate import explain

    look = [name for name, wanted in (("weights", weights), ("probes", probes)) if wanted]
    judged = judge_folder(folder, home=home, policy=policy, owner=owner, look=look)
    verdict = judged.verdict
    Output(json_, quiet).document(judged_document(judged), judged_lines(judged))
    if not verdict.accepted:
        why = explain(verdict) or verdict.reason
        raise RefusedError(f"{verdict.outcome}: {why} (layer {verdict.stage})", where=str(folder))


def swarm_named(text: str) -> Swarm:
    """The swarm of a file if there is one at that path, else the open swarm of that name."""
    from plora.proto.swarm import load_swarm, open_swarm

    return load_swarm(Path(text)) if Path(text).is_file() else open_swarm(text)
