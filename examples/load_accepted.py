"""Load what a peer has accepted with PEFT: the folder is what `plora path NAME` prints.

    python examples/load_accepted.py mini $(plora path ada/legal)

BASE is `mini`, `smollm2`, a folder or a hub id that is on this machine.
"""

import sys

from peft import PeftModel
from transformers import AutoModelForCausalLM

from plora.base import base_info


def main(base: str, folder: str) -> None:
    """Load the base, then the adapter on it, and say what that is."""
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base_info(base).folder), folder)
    config = model.peft_config["default"]
    sys.stdout.write(f"rank {config.r} on {', '.join(sorted(config.target_modules))}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
