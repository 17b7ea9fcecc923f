"""`plora merge`: adapters into one, by options or by a plan file, with a forecast, a report and a picture.

- Whatever can be known to fail (a picture's name, folders that are not there) fails before any merging.
- The result gets its place when it is whole; the inputs are never written to.
- numpy gets one thread unless the environment says otherwise, as in the peer's worker: both make the same bytes.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from plora.cli import merge_options as options
from plora.cli.merge_tuning import TuningFiles, check_tuning, tuned
from plora.cli.merge_watch import peak_memory_bytes, peak_of, watched, write_rate
from plora.cli.options import Json, Quiet
from plora.cli.output import Output
from plora.proto.errors import UsageError
from plora.proto.home import default_home

if TYPE_CHECKING:
    from plora.cli.merge_options import Asked
    from plora.cli.merge_report import Told
    from plora.merge.api import Inputs
    from plora.merge.tuning_steps import Tuning

VIEWS = "views"
"""Where a peer's home has the adapters that it exposes, as PEFT folders: leaves may be among them."""


def merge(
    folders: options.Folders = None,
    out: options.Out = None,
    weights: options.Weights = None,
    strategy: options.Strategy = None,
    space: options.Space = None,
    rule: options.Rule = None,
    density: options.Density = None,
    scaling: options.Scaling = None,
    byzantine: options.Byzantine = None,
    radius: options.Radius = None,
    seed: options.Seed = None,
    rank_max: options.RankMax = None,
    max_delta_fro: options.DeltaFro = None,
    max_delta_relative: options.DeltaRelative = None,
    max_total_fro: options.TotalFro = None,
    base: options.OnBase = None,
    plan: options.Plan = None,
    leaves: options.Leaves = None,
    opaque: options.Opaque = False,
    fisher: options.Fisher = None,
    learn_weights: options.LearnWeights = None,
    line_search: options.LineSearch = None,
    held_out: options.HeldOut = None,
    dry_run: options.DryRun = False,
    report: options.Report = None,
    picture: options.Picture = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Merge adapters on their factors and report what was lost."""
    said = {"weights": weights, "strategy": strategy, "space": space, "rule": rule, "density": density}
    said |= {"scaling": scaling, "byzantine": byzantine, "radius": radius, "seed": seed, "rank_max": rank_max}
    said |= {"max_delta_fro": max_delta_fro, "max_delta_relative": max_delta_relative, "max_total_fro": max_total_fro}
    output = Output(json_, quiet)
    # Before numpy is loaded. The matrices are small: threads that wait for each other cost more than they bring.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    pairs = TuningFiles(fisher or (), learn_weights, line_search, held_out).read()
    job = _job(options.asked(folders or (), plan, base, said), leaves or (), opaque)
    if pairs is not None:
        check_tuning(pairs, job.inputs, dry_run)
    if dry_run:
        _tell_forecast(output, job, out)
        return
    if out is None:
        raise UsageError("no folder is named to write to", where="--out", mend="write -o merged, or --dry-run")
    targets = Targets(out, report, picture)
    targets.check([*job.given, *job.inputs.folders])
    if pairs is not None:
        output.hint("Tuning on the base; that may take minutes.")
        job = job.tuned_by(tuned(pairs, job.inputs, job.base_norms))
    told = _carried_out(output, job, targets.folder)
    _tell(output, told, targets)


@dataclass(frozen=True, slots=True)
class Targets:
    """What a merge writes: the adapter, the report, the picture."""

    folder: Path
    report: Path | None
    picture: Path | None

    def check(self, inputs: Sequence[Path]) -> None:
        """UsageError for what could only fail, or would spoil an input, after all the work."""
        from plora.cli.merge_picture import check_picture

        if any(self.folder.resolve() == path.resolve() for path in inputs):
            raise UsageError(f"{self.folder} is one of the inputs", where="--out", mend="name another folder")
        if self.folder.exists() and not self.folder.is_dir():
            raise UsageError(f"{self.folder} is a file", where="--out", mend="name a folder")
        for option, path in (("--report", self.report), ("--picture", self.picture)):
            if path is not None and not path.parent.is_dir():
                raise UsageError(f"there is no folder {path.parent}", where=option, mend="make it, or name another")
            if path is not None and path.is_dir():
                raise UsageError(f"{path} is a folder", where=option, mend="name a file")
        if self.picture is not None:
            check_picture(self.picture)


@dataclass(frozen=True, slots=True)
class Job:
    """A merge ready to be done; `began_s` is when its inputs were opened, `tuning` how its plan came about."""

    given: Sequence[Path]
    inputs: Inputs
    base_norms: Mapping[str, float] | None
    began_s: float
    tuning: Tuning | None = None

    def tuned_by(self, tuning: Tuning) -> Job:
        """The same merge by the tuned plan."""
        return replace(self, inputs=replace(self.inputs, plan=tuning.plan), tuning=tuning)


def _job(wish: Asked, leaves: Sequence[Path], opaque: bool) -> Job:
    """Open what is asked for. Errors say which folder or line is at fault."""
    from plora.cli.signing import check_folder
    from plora.merge.api import folder_of_base, open_inputs
    from plora.merge.folder_source import FolderSource

    began_s = time.perf_counter()
    for folder in (*wish.folders, *leaves):
        if folder in wish.folders or not folder.is_dir():
            check_folder(folder)
    base = None if wish.base is None else folder_of_base(wish.base)
    places = [*leaves, default_home() / VIEWS]
    modules = sorted({module for folder in wish.folders for module in FolderSource(folder, base=base).modules()})
    inputs = open_inputs(wish.folders, wish.plan_for(modules), wish.base, leaves=places, opaque=opaque, base=base)
    relative = inputs.plan.trust.max_delta_relative is not None
    return Job(wish.folders, inputs, _norms_of(wish.base, modules) if relative else None, began_s)


def _norms_of(base: str | None, modules: Sequence[str]) -> Mapping[str, float]:
    from plora.base.registry import find_base, resolve_base
    from plora.merge.base_norms import base_norms

    if base is None:
        raise UsageError("needs the base's weights", where="--max-delta-relative", mend="name the base by --base")
    return base_norms(find_base(resolve_base(base)), modules)


def _carried_out(output: Output, job: Job, folder: Path) -> Told:
    from plora.cli.merge_report import Told
    from plora.merge.engine import merge_laid_out
    from plora.merge.folder_sink import FolderSink

    inputs = job.inputs
    names = [str(one) for one in inputs.folders]
    layout = inputs.laid_out()
    with FolderSink(folder, metadata=inputs.metadata(layout)) as sink, watched(output, sink) as seen:
        report = merge_laid_out(seen, layout, base_norms=job.base_norms, clock=time.perf_counter)
    return Told(report, names, time.perf_counter() - job.began_s, peak_memory_bytes(), job.tuning)


def _tell(output: Output, told: Told, targets: Targets) -> None:
    from plora.cli.merge_report import document, headline, tables

    whole = document(told, str(targets.folder))
    if targets.report is not None:
        targets.report.write_text(json.dumps(whole, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    if targets.picture is not None:
        from plora.cli.merge_picture import sight_of, write_picture

        write_picture(targets.picture, sight_of(told))
    if output.as_json:
        output.document(whole, ())
        return
    output.line(headline(told.report))
    for table in tables(told):
        output.line("")
        output.table(table.columns, table.rows, None)
    _hint(output, targets)


def _hint(output: Output, targets: Targets) -> None:
    output.hint(f"Merged into {targets.folder}; PeftModel.from_pretrained(base, '{targets.folder}') loads it.")
    if (targets.folder / "plora.yml").exists():
        output.hint(
            f"The signature in {targets.folder} is of what was there before: `plora sign {targets.folder}` again."
        )
    for path in (targets.report, targets.picture):
        if path is not None:
            output.hint(f"Wrote {path}.")


def _tell_forecast(output: Output, job: Job, out: Path | None) -> None:
    from plora.cli.merge_report import forecast_lines
    from plora.merge.forecast import Machine, forecast

    machine = Machine(time.perf_counter, write_rate(out), peak_of)
    layout = job.inputs.laid_out()
    laid_s = time.perf_counter() - job.began_s
    metadata = job.inputs.metadata(layout)
    found = forecast(layout, job.base_norms, machine, laid_s=laid_s, metadata=metadata)
    output.document(found.document(), forecast_lines(found))
    output.hint("Nothing was written.")
