"""What findings take from the experiment: adapters' worth and calibrations, as far as they are what config asks for.

Rules:

- An artifact says by which command it was made. Another than that of the settings' `material` is refused by the first
  option that differs, with the target of make that replaces it: a dry run's study answers nothing.
- Fewer training seeds than an interval over seeds takes are refused, whatever was asked for.

Not handled here: what stands in them (`plora.lab.findings.value`, `plora.lab.findings.diffusion`).

>>> differing("study --ranks 1 --seeds 41", "study --ranks 4 --seeds 41,42")
'--ranks 1 instead of --ranks 4'
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any

from plora.lab.experiment.config import Experiment
from plora.lab.experiment.steps import STEPS
from plora.lab.findings import value
from plora.lab.findings.diffusion import FAMILIES
from plora.lab.value_add.summary import SEEDS_SHOWN
from plora.proto.errors import UsageError

MEND = "make findings-material"
STUDY, CALIBRATION = "value-add", "calibrate-c"


def calibrations(results: Path, asked: Experiment) -> dict[str, Mapping[str, Any]]:
    """C of each family. Raises UsageError for the first that is missing or made otherwise."""
    return {family: _calibration(path_of(results, family), asked) for family in FAMILIES}


def path_of(results: Path, family: str) -> Path:
    """Where the calibration of a family lies."""
    return results / f"c_calib_{family}.json"


def study(results: Path, asked: Experiment) -> dict[str, Any]:
    """What adapters are worth. Raises UsageError where it is missing, made otherwise, or of too few seeds."""
    found = value.read(results)
    path = results / value.SUMMARY
    require_made_by(command_of(STUDY, asked), found, path)
    seeds = value.seeds(found)
    if len(seeds) < SEEDS_SHOWN:
        raise UsageError(f"{len(seeds)} of {SEEDS_SHOWN} training seeds", where=str(path), mend=MEND)
    return found


def command_of(name: str, asked: Experiment) -> str:
    """What a step of the experiment calls, as its results have it."""
    step = next(one for one in STEPS if one.name == name)
    return " && ".join(step.told(asked))


def require_made_by(command: str, document: Mapping[str, Any], path: Path) -> None:
    """Raises UsageError unless that command made it."""
    made = document.get("provenance", {}).get("command", "")
    if made != command:
        told = f"made with {differing(made, command)}" if made else "doesn't say what made it"
        raise UsageError(told, where=str(path), mend=MEND)


def differing(made: str, asked: str) -> str:
    """The first part in which two commands differ."""
    parts = zip_longest(_options(made), _options(asked), fillvalue="nothing")
    return next((f"{one} instead of {other}" for one, other in parts if one != other), "")


def _options(command: str) -> list[str]:
    """The command's words, each option with what belongs to it."""
    found: list[list[str]] = [[]]
    for word in shlex.split(command):
        if word.startswith("--"):
            found.append([])
        found[-1].append(word)
    return [shlex.join(words) for words in found]


def _calibration(path: Path, asked: Experiment) -> Mapping[str, Any]:
    try:
        found: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise UsageError("no calibration of C", where=str(path), mend="make calibrate-c, or " + MEND) from None
    except ValueError as error:
        raise UsageError(f"no calibration of C ({error})", where=str(path), mend=MEND) from None
    require_made_by(command_of(CALIBRATION, asked), found, path)
    return found
