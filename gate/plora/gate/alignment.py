"""`alignment_gate`: the specification's gate for an adapter folder, without any peer.

Rules:

- The folder is read as `plora.gate.folder` says; the manifest comes from its `plora.yml` or from the caller.
- `trust` None reads trust.yaml of the default home: `$PLORA_HOME`, else `$XDG_DATA_HOME/plora`, else
  `~/.local/share/plora`. Nothing there means that nobody is trusted, so everything is PENDING.
- The verdict is that of `decide`; the clock is read here unless the caller gives the time.

Not handled here: replay (a folder knows no other versions), rotation and revocation unless the caller passes them, and
detectors, which take a base model and time (`plora gate --weights --probes` runs them).
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from plora.gate.case import Case
from plora.gate.findings import Findings
from plora.gate.folder import read_folder
from plora.gate.pipeline import decide
from plora.gate.policy import Policy
from plora.gate.trust import Trust
from plora.gate.trust_file import load_trust
from plora.gate.verdict import Verdict
from plora.proto.dsse import StatementKind
from plora.proto.home import Home, default_home
from plora.proto.manifest import Manifest
from plora.proto.payloads import Attestation, OwnerRecord, Revocation
from plora.proto.statement import Statement, open_statement
from plora.proto.yaml_view import SignedManifest, read_plora_yml

NO_SIGNATURE = b"\x00"
"""Stands where a bare manifest carries none; no key's signature is one byte long."""


def alignment_gate(
    adapter_dir: Path | str,
    manifest: Path | str | SignedManifest | Manifest,
    policy: Policy,
    trust: Trust | None = None,
    *,
    swarm: str | None = None,
    now_ms: int | None = None,
    known: tuple[Statement, ...] = (),
    weight_findings: Findings | None = None,
    probe_findings: Findings | None = None,
) -> Verdict:
    """The verdict on the adapter in `adapter_dir` under a manifest: a `plora.yml`, what was read from one, or bare.

    `known`: further statements (owner records, attestations, revocations) that may bear on it. `swarm` None accepts
    a manifest of any swarm. What detectors found is the caller's, too: without it, a policy that wants it waits.
    Raises ManifestError where the manifest can't be read, AdapterError where the folder can't.
    """
    statement, cosignatures = _signed(manifest)
    judged = manifest_of(statement)
    seen = read_folder(Path(adapter_dir), judged)
    opened = [(one, open_statement(one)) for one in (*cosignatures, *known)]
    case = Case(
        statement=statement,
        manifest=judged,
        now_ms=now_ms if now_ms is not None else int(datetime.now(tz=UTC).timestamp() * 1000),
        swarm=swarm,
        owner_records=tuple((one, body) for one, body in opened if isinstance(body, OwnerRecord)),
        attestations=tuple((one, body) for one, body in opened if isinstance(body, Attestation)),
        revocations=tuple((one, body) for one, body in opened if isinstance(body, Revocation)),
        features=seen.features,
        weight_findings=weight_findings,
        probe_findings=probe_findings,
        folder_fault=seen.fault,
    )
    return decide(case, policy, load_trust(Home(default_home()).trust) if trust is None else trust)


def manifest_of(statement: Statement) -> Manifest:
    """The manifest in a statement. Raises StatementError or ManifestError where there is none."""
    manifest = open_statement(statement)
    if not isinstance(manifest, Manifest):
        raise TypeError("the statement is not a manifest")
    return manifest


def _signed(manifest: Path | str | SignedManifest | Manifest) -> tuple[Statement, tuple[Statement, ...]]:
    if isinstance(manifest, Manifest):
        signer = manifest.signer
        payload = manifest.to_bytes()
        bare = Statement(StatementKind.MANIFEST, payload, signer.pubkey_fingerprint, signer.algo, NO_SIGNATURE)
        return bare, ()
    signed = manifest if isinstance(manifest, SignedManifest) else read_plora_yml(Path(manifest))
    return signed.statement(), signed.attestations()
