"""Merging by path: the specification's `merge_plasmids`, and `merge_folders` for the command line.

- `merge_folders` needs numpy alone: PEFT folders in, one PEFT folder out.
- `merge_plasmids` loads the base through `plora.base` (extra `lab`) and returns PEFT's model with the merged adapter on
  it, in evaluation mode; what is written for PEFT to read is a temporary folder.
- Fisher information and the line search need pairs: without `ls_dataset` the former is refused, not ignored.

Not handled: signatures and verdicts; these functions merge whatever they are given.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plora.merge.engine import MergeResult, merge_laid_out, merge_sources
from plora.merge.folder_sink import FolderSink
from plora.merge.folder_source import FolderSource
from plora.merge.gram_store import GramStore
from plora.merge.layout import Layout, lay_out
from plora.merge.peft_folder import write_adapter
from plora.merge.plan import RANK_MAX_DEFAULT, MergePlan
from plora.merge.provenance import Shelf, describe, unfolded
from plora.merge.registry import plan_of
from plora.proto.errors import BaseModelError, UsageError

if TYPE_CHECKING:
    from plora.base import LoadedBase


@dataclass(frozen=True, slots=True)
class Inputs:
    """What is merged: folders of leaves, opened, the plan with their weights, and the name of the base, if said."""

    folders: Sequence[Path]
    sources: Sequence[FolderSource]
    plan: MergePlan
    base_model_name: str | None
    shelf: Shelf

    def laid_out(self) -> Layout:
        """The plan over these sources; errors as in `lay_out`."""
        return lay_out(self.sources, self.plan, self.base_model_name)

    def metadata(self, layout: Layout) -> dict[str, str]:
        """What the tensor file says of the merge."""
        return describe(self.sources, layout).metadata()


def open_inputs(
    paths: Sequence[Path],
    plan: MergePlan | None = None,
    base_model_name: str | None = None,
    *,
    leaves: Sequence[Path] = (),
    opaque: bool = False,
    base: Path | None = None,
) -> Inputs:
    """Open PEFT folders, merges among them as their leaves; see `plora.merge.provenance`.

    `leaves`: folders of adapters in which leaves are looked for, too; `opaque`: merges are taken as they are; `base`:
    the base's folder, with which copies of its weights are compared. Raises AdapterError and UsageError.
    """
    shelf = Shelf([Path(place) for place in leaves], base)
    folders, asked = [Path(path) for path in paths], plan or MergePlan()
    if not opaque:
        folders, asked = unfolded(folders, asked, shelf)
    return Inputs(folders, [shelf.source(folder) for folder in folders], asked, base_model_name, shelf)


def merge_paths(
    paths: Sequence[Path], plan: MergePlan | None = None, base_model_name: str | None = None, **options: Any
) -> MergeResult:
    """Read PEFT folders and merge them in memory; options and errors as in `open_inputs` and `merge_sources`."""
    inputs = open_inputs(paths, plan, base_model_name, **options)
    return merge_sources(inputs.sources, inputs.plan, base_model_name)


def merge_folders(
    paths: Sequence[Path],
    out: Path,
    plan: MergePlan | None = None,
    *,
    base_model_name: str | None = None,
    kept: Path | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Merge PEFT folders into the folder `out`, synced to disk; returns `MergeReport.document()`.

    `kept`: a folder for what the next merge of much the same adapters needn't compute again
    (`plora.merge.gram_store`); other options as in `open_inputs`. One module is in memory at a time.
    """
    inputs = open_inputs(paths, plan, base_model_name, **options)
    layout = inputs.laid_out()
    store = None if kept is None else GramStore(kept, [operand.digest for operand in layout.operands])
    with FolderSink(out, metadata=inputs.metadata(layout)) as sink:
        report = merge_laid_out(sink, layout, keeper=store)
    if store is not None:
        store.commit()
        store.prune()
    return report.document()


def folder_of_base(name: str) -> Path | None:
    """Where a base lies; None where it isn't on this machine, so that copies of its weights can't be compared."""
    from plora.base.registry import find_base, resolve_base

    with contextlib.suppress(BaseModelError):
        return find_base(resolve_base(name))
    return None


def merge_plasmids(
    base: str,
    paths: Sequence[Path],
    weights: Sequence[float] | None = None,
    strategy: str = "weighted_sum",
    fisher_weighted: bool = False,
    max_delta_fro: float | None = None,
    reproject_rank: int | None = None,
    ls_dataset: Sequence[tuple[str, str]] | None = None,
) -> Any:
    """The base model with the merge of the adapters at `paths` on it: a `peft.PeftModel`, in evaluation mode.

    `max_delta_fro`: bound of each module's ‖ΔW‖_F; `reproject_rank`: rank of the result (16 where None); `ls_dataset`:
    pairs (question, answer) on which the scaling of the merge is searched, see `plora.merge.tuning`; `fisher_weighted`:
    first, each module's weights by Fisher information on the same pairs, see `plora.merge.fisher`.
    Raises UsageError for a call that can't be meant, BaseModelError and AdapterError for what can't be loaded.
    """
    if fisher_weighted and ls_dataset is None:
        raise UsageError("fisher_weighted needs ls_dataset", mend="give pairs (question, answer)")
    rank_max = RANK_MAX_DEFAULT if reproject_rank is None else reproject_rank
    asked = plan_of(strategy, weights, rank_max, max_delta_fro)
    inputs = open_inputs(paths, asked, base, base=folder_of_base(base))

    from plora.base.loading import load_base

    loaded = load_base(base)
    plan = inputs.plan if ls_dataset is None else _tuned(loaded, inputs, ls_dataset, fisher_weighted)
    return load_on(loaded.model, merge_sources(inputs.sources, plan, base))


def _tuned(loaded: LoadedBase, inputs: Inputs, pairs: Sequence[tuple[str, str]], fisher: bool) -> MergePlan:
    from plora.merge.tuning_steps import TuningPairs, tune

    asked = TuningPairs(fisher=[pairs] if fisher else None, line_search=pairs)
    return tune(loaded, inputs.sources, inputs.plan, asked, inputs.base_model_name).plan


def load_on(model: Any, result: MergeResult) -> Any:
    """A transformers model with a merged adapter on it, as `peft.PeftModel` in evaluation mode."""
    try:
        from peft import PeftModel
    except ImportError as error:
        raise UsageError("peft is not installed", mend="pip install 'plora[lab]'") from error

    with tempfile.TemporaryDirectory(prefix="plora-merge-") as folder:
        write_adapter(Path(folder), result.adapter)
        return PeftModel.from_pretrained(model, folder).eval()
