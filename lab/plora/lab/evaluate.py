"""What adapters are worth: perplexity of held-out answers per adapter and domain, beside the base.

    python -m plora.lab.evaluate --base mini --adapter legal=out/legal --domains legal,medical

Rules:

- Every row gives perplexity with a 95 % interval and the paired difference from the base with its own (bootstrap over
  documents, fixed seed). An adapter *helps* in a domain when the upper bound of its difference is below 0.
- The base itself is always the first row, under the name `base`.
- The test split is scored; training sees neither it nor validation's.

Not handled here: differences between training seeds (repeat the training), exact match (means nothing on `mini`).
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

from plora.base import (
    AnswerScores,
    Interval,
    LoadedBase,
    answer_nll,
    load_base,
    perplexity_difference,
    perplexity_interval,
)
from plora.base.registry import resolve_base
from plora.lab.console import emit, run_command
from plora.lab.corpora import DOMAINS, load_domain
from plora.lab.threads import prepare_threads, use_threads
from plora.lab.wearing import wearing
from plora.proto.errors import UsageError

BASE_ROW = "base"
DOCUMENTS_DEFAULT = 200


@dataclass(frozen=True)
class Row:
    """One adapter in one domain: perplexity, and the difference from the base (negative is better)."""

    adapter: str
    domain: str
    documents: int
    perplexity: Interval
    difference: Interval
    helps: bool


def evaluate(
    base: LoadedBase | str,
    adapters: Mapping[str, Path | None],
    domains: Sequence[str],
    *,
    documents: int = DOCUMENTS_DEFAULT,
    seed: int = 0,
) -> list[Row]:
    """Score every adapter in every domain.

    Args:
        base: a loaded base or its name.
        adapters: row name to PEFT folder; None is the base without an adapter.
        domains: names of `plora.lab.corpora`.
        documents: test pairs a domain.
        seed: of the bootstrap.

    Returns:
        Rows in the order adapters × domains, the base's first.

    Raises:
        AdapterError: a folder is no adapter of this base.
        UsageError: an unknown domain.
    """
    pairs = {d: [(p.question, p.answer) for p in load_domain(d, "test", documents)] for d in domains}
    base = load_base(base) if isinstance(base, str) else base
    named: dict[str, Path | None] = {BASE_ROW: None, **{n: a for n, a in adapters.items() if n != BASE_ROW}}
    reference: dict[str, AnswerScores] = {}
    rows = []
    for name, folder in named.items():
        with nullcontext(base.model) if folder is None else wearing(base.model, folder, base.spec.folder) as model:
            for domain, asked in pairs.items():
                scores = answer_nll(model, base.tokenizer, asked)
                rows.append(_row(name, domain, reference.setdefault(domain, scores), scores, seed))
    return rows


def _row(name: str, domain: str, before: AnswerScores, scores: AnswerScores, seed: int) -> Row:
    change = perplexity_difference(before, scores, seed=seed)
    return Row(name, domain, len(scores.nll), perplexity_interval(scores, seed=seed), change, change.high < 0)


def parse_adapters(words: Sequence[str]) -> dict[str, Path | None]:
    """`NAME=FOLDER` words as a mapping, in their order.

    >>> parse_adapters(["legal=out/legal"])
    {'legal': PosixPath('out/legal')}
    """
    adapters: dict[str, Path | None] = {}
    for word in words:
        name, separator, folder = word.partition("=")
        if not (separator and name and folder):
            raise UsageError(f"{word!r} is not NAME=FOLDER", where="--adapter", mend="--adapter legal=out/legal")
        adapters[name] = Path(folder)
    return adapters


def main(argv: Sequence[str] | None = None) -> int:
    """Evaluate as the arguments say; one JSON line with all rows on stdout."""
    parser = argparse.ArgumentParser(prog="python -m plora.lab.evaluate", description="Perplexity of held-out answers.")
    parser.add_argument("--base", help="mini, smollm2, a folder or ORG/NAME (default: PLORA_BASE_MODEL)")
    parser.add_argument("--adapter", action="append", default=[], metavar="NAME=FOLDER")
    parser.add_argument("--domains", default=",".join(DOMAINS), help="comma-separated")
    parser.add_argument("--documents", type=int, default=DOCUMENTS_DEFAULT, help="test pairs a domain")
    parser.add_argument("--threads", type=int, help="default: OMP_NUM_THREADS, else 2")
    args = parser.parse_args(argv)

    def work() -> None:
        adapters, domains, base = parse_adapters(args.adapter), args.domains.split(","), resolve_base(args.base)
        for domain in domains:
            load_domain(domain, "test", args.documents)  # a wrong word is told before torch's seconds
        use_threads(prepare_threads(os.environ, args.threads))
        rows = evaluate(load_base(base), adapters, domains, documents=args.documents)
        emit({"event": "done", "rows": [asdict(row) for row in rows]})

    return run_command(work)


if __name__ == "__main__":
    sys.exit(main())
