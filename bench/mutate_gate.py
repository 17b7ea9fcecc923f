"""`make mutate-gate`: switch off each check of the gate, one by one, and see that a test of an attack notices.

Rules:

- A check is a stage that is on, or one reason that a stage can give: every code of the table of reasons that the
  pipeline can say, and every fault of the safetensors parser. Switched off, it passes what it would have refused.
- First all tests in `tests/attacks` run as they are, and it is noted which test made which stage give which reason;
  then, for each check, the tests that met it run again without it until one fails.
- A check that no test ever met survives, and so does one whose tests pass without it; both are listed.
- Everything runs in this process, so what daemons do that tests start isn't counted.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import pytest
from bench.report import Row, finish

from plora.gate import pipeline
from plora.gate.case import Case
from plora.gate.pipeline import STAGES, Stage
from plora.gate.policy import Policy
from plora.gate.reasons import REASONS
from plora.gate.tensors import FOREIGN
from plora.gate.trust import Trust
from plora.gate.verdict import Outcome, StageResult
from plora.merge.safetensors_io import Fault

COMMAND = "make mutate-gate"
TESTS = "tests/attacks"
NOT_CHECKS = ("internal_error", "examination_failed")
"""What no check says: an exception in one, whichever it was, and a worker that died before any looked."""

Judge = Callable[[Stage, Case, Policy, Trust], StageResult]
Met = Mapping[str, Sequence[str]]
"""Ids of tests by the check that they met."""

JUDGE = "_result"
_judge: Judge = getattr(pipeline, JUDGE)


def checks() -> list[str]:
    """Names of all checks: `stage NAME`, then the reasons."""
    stages = [f"stage {stage.name}" for stage in STAGES]
    headers = [str(fault) for fault in Fault] + [f"header_{name}" for name in sorted({name for _, name in FOREIGN})]
    return [*stages, *(code for code in REASONS if code not in NOT_CHECKS), *headers]


@contextlib.contextmanager
def judged_by(judge: Judge) -> Iterator[None]:
    """The pipeline with another way to run a stage."""
    setattr(pipeline, JUDGE, judge)
    try:
        yield
    finally:
        setattr(pipeline, JUDGE, _judge)


def met() -> Met:
    """Run all tests as they are. Raises RuntimeError where one fails."""
    found: dict[str, dict[str, None]] = {}

    def watched(stage: Stage, case: Case, policy: Policy, trust: Trust) -> StageResult:
        result = _judge(stage, case, policy, trust)
        test = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")[0]
        for name in (f"stage {stage.name}", result.reason) if result.reason else ():
            found.setdefault(name, {})[test] = None
        return result

    with judged_by(watched):
        said = _run([TESTS])
        if said:
            raise RuntimeError(f"the attacks' tests fail before anything is switched off:\n{said}")
    return {name: list(tests) for name, tests in found.items()}


def noticed(check: str, tests: Sequence[str]) -> bool:
    """Whether one of these tests fails without the check."""

    def blind(stage: Stage, case: Case, policy: Policy, trust: Trust) -> StageResult:
        result = _judge(stage, case, policy, trust)
        off = check in (f"stage {stage.name}", result.reason)
        return StageResult(stage.name, Outcome.PASS) if off else result

    with judged_by(blind):
        return bool(_run(tests))


def main() -> int:
    """Switch off, count, keep."""
    known = met()
    survivors = []
    for check in checks():
        tests = known.get(check, [])
        seen = bool(tests) and noticed(check, tests)
        print(f"{'noticed' if seen else 'SURVIVED':<9} {check} ({len(tests)} tests)", file=sys.stderr, flush=True)
        if not seen:
            survivors.append(check)
    total = len(checks())
    share = 100 * (total - len(survivors)) / total
    peer = f"{total - len(survivors)} of {total} stages and reasons"
    print(*survivors, sep="\n")
    row = Row.of("checks whose absence a test notices", share, "of 100", goal="== 100", peer=peer, command=COMMAND)
    return finish("mutate-gate", [row])


def _run(tests: Sequence[str]) -> str:
    """Run tests until one fails: the end of what pytest said then, empty where all pass."""
    options = ("-x", "-q", "-p", "no:randomly", "-p", "no:cacheprovider", "--no-header", "--tb=short", "-m", "not slow")
    with contextlib.redirect_stdout(io.StringIO()) as said:
        code = pytest.main([*options, *tests])
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        raise RuntimeError(f"pytest ended with {code!r}:\n{said.getvalue()[-2000:]}")
    return "" if code == pytest.ExitCode.OK else said.getvalue()[-3000:]


if __name__ == "__main__":
    sys.exit(main())
