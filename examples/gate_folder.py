"""Sign an adapter folder and run it through the gate, from Python.

    python examples/gate_folder.py FOLDER KEYS

Makes an owner `ada` under KEYS, signs the PEFT folder FOLDER, judges it as somebody who trusts ada, then changes one
byte and judges it again.
"""

import sys
from datetime import UTC, datetime
from pathlib import Path

from plora.gate import Policy, Trust, TrustedOwner, alignment_gate
from plora.merge.draft import Facts, sign_folder
from plora.proto.owner_files import create_owner
from plora.proto.swarm import open_swarm


def main(folder: Path, keys: Path) -> None:
    """Prints two verdicts: ACCEPT, then REJECT."""
    now_s = int(datetime.now(tz=UTC).timestamp())
    keys.mkdir(parents=True, exist_ok=True)
    ada = create_owner(keys / "ada.pem", name="ada", swarm=open_swarm("walk").id, issued_s=now_s)
    facts = Facts(
        plasmid_id="legal",
        domain="legal",
        version=1,
        base_model="mini",
        base_digest="ba" * 32,  # `plora.base.base_info("mini").digest` has the real one after `sha256:`
        licence="Apache-2.0",
        issued_s=now_s,
        expires_s=now_s + 90 * 86_400,
    )
    sign_folder(folder, ada, facts)

    policy = Policy(base_model="mini", rank_max=16)
    trust = Trust((TrustedOwner.of_record(ada.statement),))
    say(folder, policy, trust)
    artifact = folder / "adapter_model.safetensors"
    artifact.write_bytes(artifact.read_bytes()[:-1] + b"\x01")
    say(folder, policy, trust)


def say(folder: Path, policy: Policy, trust: Trust) -> None:
    """One verdict, and the layer that gave it."""
    verdict = alignment_gate(folder, folder / "plora.yml", policy, trust)
    sys.stdout.write(f"{str(verdict.outcome).upper()} {verdict.reason or '-'} ({verdict.stage})\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
