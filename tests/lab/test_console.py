"""What a command of the lab says on its last line, whoever started it reads."""

from __future__ import annotations

import sys
from subprocess import run

import pytest

from plora.lab.console import ended, read_record, run_command
from plora.proto.errors import BaseModelError, PloraError, UsageError, WorkerError


@pytest.mark.parametrize(("raised", "read"), [(UsageError, UsageError), (BaseModelError, WorkerError)])
def test_an_error_is_read_as_it_was_raised(
    capsys: pytest.CaptureFixture[str], raised: type[PloraError], read: type[PloraError]
) -> None:
    def work() -> None:
        raise raised("it broke", mend="mend it")

    assert run_command(work) == raised.exit_code
    with pytest.raises(read) as caught:
        read_record(capsys.readouterr().out, "there")
    assert str(caught.value) == "there: it broke; mend it"
    assert caught.value.exit_code == raised.exit_code


def test_a_module_that_is_missing_names_the_extra_that_has_it(capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> None:
        import no_such_module_of_the_extra  # type: ignore[import-not-found]  # noqa: F401

    assert run_command(work) == 1
    with pytest.raises(WorkerError, match=r"no_such_module_of_the_extra.*pip install 'plora\[lab\]'"):
        read_record(capsys.readouterr().out)


def test_a_killed_command_ran_out_of_memory() -> None:
    killed = run([sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"], check=False)
    assert "lack of memory" in str(ended(killed.returncode))
    assert "exit code 3" in str(ended(3))
