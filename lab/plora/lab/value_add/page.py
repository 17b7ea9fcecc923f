"""value_add.md: what a value-add study found, for people; significant improvements in bold.

Not handled here: what the words mean (`docs/value-add.md`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from plora.lab.value_add.compare import BETTER

Entry = Mapping[str, Any]
Bounds = Mapping[str, float] | None
KEPT = ("kept", "over_seeds")
COLUMNS = (
    "questions",
    "cell",
    "perplexity",
    "exact",
    "nats a token, less the base's",
    "nats a question tells, less the base's",
    "Holm p",
    "over seeds",
    "gain kept",
)


def page(entries: Sequence[Entry], kept: Sequence[Entry]) -> str:
    """The report as Markdown, of `plora.lab.value_add.summary`."""
    return "\n".join([*_head(entries), *_makes(entries), *_kept_table(kept), *_placebo_table(entries)]) + "\n"


def bounds_text(bounds: Bounds) -> str:
    """An estimate with its 95 % interval.

    >>> bounds_text({"value": -1.2345, "low": -1.5, "high": -1.0}), bounds_text(None)
    ('-1.23 (-1.5 to -1)', '–')
    """
    if bounds is None:
        return "–"
    value, low, high = (f"{bounds[name]:.3g}" for name in ("value", "low", "high"))
    return f"{value} ({low} to {high})"


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table.

    >>> table(["a", "b"], [["1", "2"]])
    ['| a | b |', '|---|---|', '| 1 | 2 |']
    """
    return [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}", *(f"| {' | '.join(row)} |" for row in rows)]


def _head(entries: Sequence[Entry]) -> Iterator[str]:
    tested = [entry for entry in entries if entry["cell"] != "baseline"]
    seeds = sorted({seed for entry in tested for seed in entry["seeds"]})
    yield "# Do adapters help?"
    yield ""
    yield f"Training seeds {', '.join(map(str, seeds))}; intervals of 95 %, drawn over documents and seeds."
    yield "**Bold**: a significant improvement: the interval, and that over seeds alone, exclude 0, and p, corrected"
    yield f"for all {len(BETTER) * len(tested)} comparisons, is below .05. Likelier answers count only where questions"
    yield "tell more, too: see what placebo_shuffled gains, and [how to read it](../../docs/value-add.md)."
    if len(seeds) == 1:
        yield ""
        yield "One seed: nothing here says how far another training would differ."


def _makes(entries: Sequence[Entry]) -> Iterator[str]:
    """A section for each rank and scheme, the baseline in each of them."""
    baselines = {entry["domain"]: entry for entry in entries if entry["cell"] == "baseline"}
    tested = [entry for entry in entries if entry["cell"] != "baseline"]
    made = sorted(tested, key=lambda entry: (entry["rank"], entry["scheme"]))
    for (rank, scheme), some in groupby(made, key=lambda entry: (entry["rank"], entry["scheme"])):
        group = list(some)
        rows = [
            _row(entry)
            for domain, baseline in baselines.items()
            for entry in (baseline, *(one for one in group if one["domain"] == domain))
        ]
        yield from ("", f"## Rank {rank}, {scheme}", "", *table(COLUMNS, rows))


def _row(entry: Entry) -> list[str]:
    levels = [f"{entry['ppl']:.4g}", f"{entry['em']:.3f}"]
    if entry["cell"] == "baseline":
        return [entry["domain"], "baseline", *levels, "–", f"it has {entry['question_information']:.3g}", *["–"] * 3]
    p = " / ".join(f"{entry['holm_p'][measure]:.2g}" for measure in BETTER)
    over_seeds = " / ".join(bounds_text(entry["over_seeds"][measure]) for measure in BETTER)
    kept = bounds_text(entry["kept"])
    return [entry["domain"], cell_text(entry), *levels, *(_gap(entry, one) for one in BETTER), p, over_seeds, kept]


def _gap(entry: Entry, measure: str) -> str:
    """Likelier answers alone are no improvement."""
    wanted = BETTER if measure == "nll" else (measure,)
    bold = "**" if all(entry["significant"][one] for one in wanted) else ""
    return f"{bold}{bounds_text(entry['difference'][measure])}{bold}"


def cell_text(entry: Entry) -> str:
    """A cell's name, with what tells it from others of its kind.

    >>> cell_text({"cell": "merged", "of": "legal+medical", "lambda": 2.0})
    'merged, λ = 2'
    """
    if entry["cell"] == "merged":
        return f"merged, λ = {entry['lambda']:g}"
    return f"cross, of {entry['of']}" if entry["cell"] == "cross" else str(entry["cell"])


def _kept_table(kept: Sequence[Entry]) -> Iterator[str]:
    if not kept:
        return
    yield from ("", "## Gain kept, over all domains", "")
    yield "The share of what the domains' own adapters gain, in nats a token, the mean of the domains."
    yield ""
    rows = [
        [cell_text({"of": "", **one}), str(one["rank"]), one["scheme"], *(bounds_text(one[name]) for name in KEPT)]
        for one in kept
    ]
    yield from table(("cell", "rank", "scheme", "gain kept", "over seeds"), rows)


def _placebo_table(entries: Sequence[Entry]) -> Iterator[str]:
    """Whether placebos are like the base, which is more than that they aren't shown to be better."""
    placebos = [entry for entry in entries if entry.get("equivalence")]
    if not placebos:
        return
    yield from ("", "## Are placebos like the base?", "")
    yield "What questions tell, more than the base's, with its 90 % interval; like the base where that lies within a"
    yield "tenth of what the domain's own adapter gains (two one-sided t-tests)."
    yield ""
    rows = [_placebo(entry, entry["equivalence"]) for entry in placebos]
    yield from table(("questions", "cell", "rank", "scheme", "nats", "bound", "p", "like the base"), rows)


def _placebo(entry: Entry, found: Entry) -> list[str]:
    bounds = f"{found['low']:.3g} to {found['high']:.3g}"
    said = "yes" if found["equivalent"] else "not shown"
    made = [entry["domain"], entry["cell"], str(entry["rank"]), entry["scheme"]]
    return [*made, bounds, f"± {found['bound']:.3g}", f"{found['p']:.2g}", said]
