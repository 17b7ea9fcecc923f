"""`python -m fuzz.run TARGET… [--seconds 300]`: mutate inputs of targets in turn, guided by what they reach (atheris).

Begins with the kept corpus (`fuzz/corpus/TARGET`) and the target's examples; what reaches new code goes to --finds. A
find, an input that takes over a second, or more than 200 MB ends the run with an exit code that isn't 0, and the input
lies in that folder as `crash-…`, `timeout-…` or `oom-…`: mend the code, and put the input into the kept corpus.

`--list` says what each kept input comes to, without atheris. Each target runs in a process of its own.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fuzz.targets import Target

CORPUS = Path(__file__).parent / "corpus"
SECONDS_PER_INPUT = 1
HANG_S = 20
"""On the clock, which goes on while others have the processor."""
MEMORY_MB = 200


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="fuzz.run")
    parser.add_argument("targets", nargs="+")
    parser.add_argument("--seconds", type=int, default=300)
    parser.add_argument("--finds", type=Path, help="folder for new inputs (default: one under the system's temporary)")
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    if options.list:
        from fuzz.targets import TARGETS

        for name in options.targets:
            for path in kept(name):
                sys.stdout.write(f"{path.name}: {TARGETS[name].run(path.read_bytes())}\n")
        return
    fuzz_all(options.targets, options.seconds, options.finds or Path(tempfile.mkdtemp(prefix="fuzz-")))


def kept(target: str) -> list[Path]:
    """The kept inputs of a target, in a fixed order."""
    return sorted((CORPUS / target).iterdir())


def fuzz_all(names: Sequence[str], seconds: int, finds: Path) -> None:
    """Run each until its time is over; ends with the exit code of the first that finds something.

    To instrument all that is imported takes seconds, so it is done once, and each target runs in a fork of that.
    """
    import atheris

    with atheris.instrument_imports(include=["plora", "yaml"]):
        from fuzz.targets import TARGETS
    for name in names:
        child = os.fork()
        if not child:
            fuzz(name, TARGETS[name], seconds, finds / name)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code:
            sys.stderr.write(f"{name} ended with {code}; see {finds / name}\n")
            sys.exit(code if code > 0 else 1)


def fuzz(name: str, target: Target, seconds: int, finds: Path) -> None:
    """Run until the time is over, or something is found; never returns."""
    import atheris

    finds.mkdir(parents=True, exist_ok=True)
    for number, example in enumerate(target.examples()):
        (finds / f"example-{number}").write_bytes(example)

    def one(data: bytes) -> None:
        began_s = time.process_time()
        target.run(data)
        assert time.process_time() - began_s < SECONDS_PER_INPUT, "took too long"

    def mutated(data: bytes, bytes_max: int, seed: int) -> bytes:
        rng = random.Random(seed)  # noqa: S311 - to be repeated, not to be unforeseen
        made = target.change(data, rng) if rng.randrange(2) else None
        return atheris.Mutate(data, bytes_max) if made is None else made[:bytes_max]

    arguments = (
        *(sys.argv[0], str(finds), str(CORPUS / name), f"-artifact_prefix={finds}/", f"-max_len={target.bytes_max}"),
        *(f"-max_total_time={seconds}", f"-timeout={HANG_S}", f"-rss_limit_mb={MEMORY_MB}"),
        "-print_final_stats=1",
    )
    atheris.Setup(list(arguments), one, custom_mutator=mutated)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
