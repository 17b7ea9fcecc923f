"""The options of `plora merge`, and the plan that they make, by themselves or by a file.

- A plan file says all that there is to say about folders and method: options beside it are refused.
- `--strategy` is a name for a space and a rule: it stands alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from plora.proto.errors import UsageError

if TYPE_CHECKING:
    from plora.merge.plan import MergePlan, Method

Folders = Annotated[list[Path] | None, typer.Argument(help="PEFT adapter folders.", metavar="FOLDER")]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="The folder to write; needed without --dry-run.")]
Weights = Annotated[
    str | None,
    typer.Option("--weights", help="One a folder: .5 .3 .2 or .5,.3,.2.", show_default="1/K each"),
]
Strategy = Annotated[
    str | None, typer.Option("--strategy", help="A space and a rule by name.", show_default="weighted_sum")
]
Space = Annotated[str | None, typer.Option("--space", help="Where updates meet: factors, full, knots, core or tsv.")]
Rule = Annotated[str | None, typer.Option("--rule", help="How they become one: linear, ties, dare, krum …")]
Density = Annotated[
    float | None, typer.Option("--density", help="Fraction of entries that ties and dare keep.", show_default="0.5")
]
Scaling = Annotated[float | None, typer.Option("--scaling", help="Multiplies the merged update.", show_default="1")]
Byzantine = Annotated[
    int | None, typer.Option("--byzantine", help="Bad inputs that a robust rule is to bear.", show_default="0")
]
Radius = Annotated[
    float | None,
    typer.Option("--radius", help="Norm up to which norm_cap and centred_clipping leave an input alone."),
]
Seed = Annotated[int | None, typer.Option("--seed", help="Of dare's choice.", show_default="0")]
RankMax = Annotated[
    int | None,
    typer.Option("--reproject-rank", "--rank-max", min=1, help="Rank of the result, at most.", show_default="16"),
]
DeltaFro = Annotated[
    float | None, typer.Option("--max-delta-fro", help="Bound of a module's ‖ΔW‖; beyond it is scaled down.")
]
DeltaRelative = Annotated[
    float | None, typer.Option("--max-delta-relative", help="Bound of a module's ‖ΔW‖/‖W‖; needs --base.")
]
TotalFro = Annotated[float | None, typer.Option("--max-total-fro", help="Bound of the whole adapter's ‖ΔW‖.")]
OnBase = Annotated[
    str | None,
    typer.Option("--base", help="Base model of the result; as the adapters say by default.", show_default=False),
]
Plan = Annotated[Path | None, typer.Option("--plan", help="A YAML file that says it all, much as mergekit's do.")]
Leaves = Annotated[
    list[Path] | None,
    typer.Option("--leaves", help="A folder of adapters that a merge among the inputs was made of; may be repeated."),
]
Opaque = Annotated[bool, typer.Option("--opaque", help="Take merges among the inputs as they are, not apart.")]
Fisher = Annotated[
    list[Path] | None,
    typer.Option(
        "--fisher",
        help="Weigh modules by Fisher information on the pairs of this file; once for all adapters, or once for each.",
        metavar="DATA",
    ),
]
LearnWeights = Annotated[
    Path | None,
    typer.Option("--learn-weights", help="Search one weight an adapter on the pairs of this file.", metavar="DATA"),
]
LineSearch = Annotated[
    Path | None,
    typer.Option("--line-search", help="Search the scaling on the pairs of this file.", metavar="DATA"),
]
HeldOut = Annotated[
    Path | None,
    typer.Option("--held-out", help="Judge the tuned merge on pairs that it didn't see.", metavar="DATA"),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what rank, size, time and memory it would take.")]
Report = Annotated[Path | None, typer.Option("--report", help="Write the whole report there, as JSON.")]
Picture = Annotated[Path | None, typer.Option("--picture", help="Draw the report there: a .png or .svg file.")]

OF_METHOD = ("density", "scaling", "byzantine", "radius", "seed")
OF_TRUST = ("max_delta_fro", "max_delta_relative", "max_total_fro")
OPTION_OF = {"rank_max": "--reproject-rank"}


@dataclass(frozen=True, slots=True)
class Asked:
    """What a call asks for: folders, the base's name if it was said, and the plan for the modules that they have."""

    folders: Sequence[Path]
    base: str | None
    plan_for: Callable[[Sequence[str]], MergePlan]


def asked(folders: Sequence[Path], plan: Path | None, base: str | None, options: Mapping[str, Any]) -> Asked:
    """The call's folders and plan; `options` by their names, None for those that weren't given. Raises UsageError."""
    given = {name: value for name, value in options.items() if value is not None}
    if plan is not None:
        return _asked_by_file(plan, folders, base, given)
    if not folders:
        raise UsageError("no adapter folder is named", mend="see `plora merge --help`")
    made = _plan_of(given, len(folders))
    return Asked(folders, base, lambda _: made)


def _asked_by_file(plan: Path, folders: Sequence[Path], base: str | None, given: Mapping[str, Any]) -> Asked:
    from plora.merge.plan_file import read_plan

    if folders or given:
        said = next((_option(name) for name in given), "FOLDER")
        raise UsageError(f"the plan says that: {plan}", where=said, mend=f"leave {said} out, or write it into the plan")
    settings = read_plan(plan)
    return Asked(
        settings.models, base or settings.base_model, lambda modules: replace(settings.plan_for(modules), signs=True)
    )


def _plan_of(given: Mapping[str, Any], count: int) -> MergePlan:
    from plora.merge.plan import MergePlan, TrustRegion
    from plora.merge.registry import check_method

    method = replace(_method_of(given), **{name: given[name] for name in OF_METHOD if name in given})
    check_method(method)
    weights = parse_weights(given["weights"], count) if "weights" in given else None
    rank = {"rank_max": given["rank_max"]} if "rank_max" in given else {}
    trust = TrustRegion(**{name: given[name] for name in OF_TRUST if name in given})
    return MergePlan(method, weights, trust=trust, signs=True, **rank)


def _method_of(given: Mapping[str, Any]) -> Method:
    from plora.merge.registry import combined, strategy

    name, space, rule = given.get("strategy"), given.get("space"), given.get("rule")
    if name is None:
        return strategy("weighted_sum") if space is None and rule is None else combined(space, rule)
    if space is not None or rule is not None:
        other = "--space" if space is not None else "--rule"
        raise UsageError("a strategy is a space and a rule", where=other, mend=f"leave out {other} or --strategy")
    return strategy(name)


def parse_weights(text: str, count: int) -> tuple[float, ...]:
    """The weights of `--weights`, one a folder."""
    try:
        weights = tuple(float(part) for part in text.rstrip(",").split(","))
    except ValueError as error:
        raise UsageError(f"'{text}' is not a list of numbers", where="--weights", mend="write .5 .3 .2") from error
    if len(weights) != count:
        raise UsageError(f"{len(weights)} weights for {count} folders", where="--weights", mend="give one a folder")
    return weights


def _option(name: str) -> str:
    return OPTION_OF.get(name, f"--{name.replace('_', '-')}")
