"""What `--fisher`, `--learn-weights`, `--line-search` and `--held-out` ask for: a plan tuned on the base, then merged.

- Files of pairs are read before anything else, the base last: it takes the longest, and what is wrong is told first.
- The base is that of the result (`--base`, else what the adapters name), and must be on this machine.
- torch computes on one thread unless `OMP_NUM_THREADS` says otherwise, so that figures repeat. More threads than idle
  cores spin while they wait for each other: on a busy machine of two cores a loss took forty times as long with two.

Not handled: the tuning itself (`plora.merge.tuning_steps`), the words for it (`plora.cli.merge_report`).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from plora.proto.errors import UsageError

if TYPE_CHECKING:
    from plora.base import LoadedBase
    from plora.merge.api import Inputs
    from plora.merge.tuning_steps import Tuning, TuningPairs


@dataclass(frozen=True, slots=True)
class TuningFiles:
    """The files of pairs by what they are for; see `TuningPairs`."""

    fisher: Sequence[Path]
    learn_weights: Path | None
    line_search: Path | None
    held_out: Path | None

    def read(self) -> TuningPairs | None:
        """Their pairs; None where nothing is asked for. Raises UsageError, and ConfigError with file and line."""
        others = {"learn_weights": self.learn_weights, "line_search": self.line_search, "held_out": self.held_out}
        named = {name: path for name, path in others.items() if path is not None}
        if not self.fisher and not named:
            return None
        from plora.merge.pairs_file import read_pairs
        from plora.merge.tuning_steps import TuningPairs

        fisher = [read_pairs(path) for path in self.fisher] or None
        return TuningPairs(fisher=fisher, **{name: read_pairs(path) for name, path in named.items()})


def check_tuning(pairs: TuningPairs, inputs: Inputs, dry_run: bool) -> None:
    """UsageError for what could only fail, or mean nothing, once the base is loaded."""
    if dry_run:
        raise UsageError("a dry run loads no base", where="--dry-run", mend="leave out the options that tune")
    files, count = len(pairs.fisher or ()), len(inputs.sources)
    if files not in (0, 1, count):
        mend = "give one for all adapters, or one for each in their order"
        raise UsageError(f"{files} files of pairs for {count} adapters", where="--fisher", mend=mend)


def tuned(pairs: TuningPairs, inputs: Inputs, base_norms: Mapping[str, float] | None) -> Tuning:
    """Load the base and tune the plan of these inputs. Raises BaseModelError, AdapterError and UsageError."""
    from plora.merge.tuning_steps import tune

    name = inputs.laid_out().spec.base_model_name
    if not name:
        raise UsageError("the adapters name no base to tune on", where="--base", mend="name it: --base mini")
    return tune(_loaded(name), inputs.sources, inputs.plan, pairs, inputs.base_model_name, base_norms)


def _loaded(name: str) -> LoadedBase:
    from plora.base import find_base, load_base, resolve_base
    from plora.lab.threads import prepare_threads

    spec = resolve_base(name)
    find_base(spec)  # nothing is fetched unasked
    count = prepare_threads(os.environ)
    base = load_base(spec)
    import torch

    torch.set_num_threads(count)  # where torch was loaded before, it didn't see the environment
    return base
