"""Which spaces, rules and strategies there are, which go together, and what each is for. Names and words alone.

A strategy is a preset: a name for a method, with its paper, its cost and its use. `docs/merging/NAME.md` tells more.
Costs count per module of `out` × `in` with K operands of rank r, R = Kr; d = out + in, m = min(out, in).

>>> STRATEGIES["ties"].space, name_of(STRATEGIES["ties"]), name_of(Method("core", "dare"))
('full', 'ties', 'core/dare')
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from plora.merge.plan import RANK_MAX_DEFAULT, MergePlan, Method, TrustRegion
from plora.proto.errors import UsageError

LINEAR = ("linear", "task_arithmetic")
ELEMENTWISE = ("ties", "dare", "dare_ties")
ROBUST = ("krum", "multi_krum", "geometric_median", "centred_clipping", "nnm", "norm_cap")
COORDINATES = ("full", "knots", "core")

RULES_OF: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "factors": (*LINEAR, "sequential", *ROBUST),
        "full": (*LINEAR, *ELEMENTWISE),
        "knots": (*LINEAR, *ELEMENTWISE),
        "core": (*LINEAR, *ELEMENTWISE),
        "tsv": LINEAR,
    }
)
"""The rules that each space takes."""

# Rules whose result depends on the order in which the operands come; for all others they are sorted by digest.
ORDERED = frozenset({"sequential"})


@dataclass(frozen=True, slots=True)
class Strategy:
    """A named method: where it is from, what it costs, when to use it."""

    method: Method
    paper: str
    cost: str
    use: str


CATALOGUE: Mapping[str, Strategy] = MappingProxyType(
    {
        "weighted_sum": Strategy(
            Method("factors", "linear"),
            "Wortsman et al. 2022, Model soups",
            "O(dR²)",
            "the default: exact, cheap, the same on every peer",
        ),
        "sequential": Strategy(
            Method("factors", "sequential"),
            "none: truncation after every addition",
            "O(Kd(r + rank_max)²)",
            "to see what a peer loses that keeps no inputs; not for serving",
        ),
        "task_arithmetic": Strategy(
            Method("factors", "task_arithmetic"),
            "Ilharco et al. 2023, Editing models with task arithmetic",
            "O(dR²)",
            "few adapters that hardly interfere; tune `scaling`",
        ),
        "ties": Strategy(
            Method("full", "ties"),
            "Yadav et al. 2023, TIES-Merging",
            "O(out·in·(R + m)), K blocks of ΔW",
            "to be comparable with the paper; else `core`",
        ),
        "dare": Strategy(
            Method("full", "dare"),
            "Yu et al. 2024, Language models are super Mario",
            "O(out·in·(R + m)), K blocks of ΔW",
            "to be comparable with the paper; low rank holds little that could be dropped",
        ),
        "dare_ties": Strategy(
            Method("full", "dare_ties"),
            "Yu et al. 2024 with the signs of Yadav et al. 2023",
            "O(out·in·(R + m)), K blocks of ΔW",
            "to be comparable with the papers",
        ),
        "knots": Strategy(
            Method("knots", "ties"),
            "Stoica et al. 2025, Model merging with SVD to tie the KnOTS",
            "O(dR² + R·in·(R + m))",
            "adapters of one base whose updates share output directions",
        ),
        "core": Strategy(
            Method("core", "ties"),
            "Panariello et al. 2025, Low-rank model merging in core space",
            "O(dR² + KR²r)",
            "adapters that interfere: the rule of TIES in the low-rank set, a fiftieth of the time",
        ),
        "tsv": Strategy(
            Method("tsv", "task_arithmetic"),
            "Gargiulo et al. 2025, Task singular vectors",
            "O(dR²)",
            "different tasks whose singular vectors overlap; tune `scaling`",
        ),
        "krum": Strategy(
            Method("factors", "krum"),
            "Blanchard et al. 2017, Byzantine tolerant gradient descent",
            "O(dR² + K² log K)",
            "one domain, at least 2·byzantine + 3 adapters: takes one whole adapter",
        ),
        "multi_krum": Strategy(
            Method("factors", "multi_krum"),
            "Blanchard et al. 2017, Byzantine tolerant gradient descent",
            "O(dR² + K² log K)",
            "one domain, at least 2·byzantine + 3 adapters: mean of the central ones",
        ),
        "geometric_median": Strategy(
            Method("factors", "geometric_median"),
            "Pillutla et al. 2022, Robust aggregation; Weiszfeld 1937",
            "O(dR² + K²) an iteration",
            "one domain, nothing known of how many are bad: bears less than half of the weight",
        ),
        "centred_clipping": Strategy(
            Method("factors", "centred_clipping"),
            "Karimireddy et al. 2021, Learning from history",
            "O(dR² + K²) an iteration",
            "one domain, many alike and a few far away: near the mean where there is no attack",
        ),
        "nnm": Strategy(
            Method("factors", "nnm"),
            "Allouah et al. 2023, Fixing by mixing",
            "O(dR² + K² log K)",
            "one domain whose adapters differ much: more than 2·byzantine of them",
        ),
        "norm_cap": Strategy(
            Method("factors", "norm_cap"),
            "Sun et al. 2019, Can you really backdoor federated learning?",
            "O(dR²)",
            "against one adapter that outweighs the others by its norm; it doesn't look at directions",
        ),
    }
)

STRATEGIES: Mapping[str, Method] = MappingProxyType({name: each.method for name, each in CATALOGUE.items()})


def strategy(name: str) -> Method:
    """The method of a strategy. Raises UsageError for an unknown name."""
    if name not in STRATEGIES:
        raise UsageError(f"unknown strategy {name!r}", mend=f"one of {', '.join(sorted(STRATEGIES))}")
    return STRATEGIES[name]


def plan_of(
    name: str = "weighted_sum",
    weights: Sequence[float] | None = None,
    rank_max: int = RANK_MAX_DEFAULT,
    max_delta_fro: float | None = None,
) -> MergePlan:
    """A plan in the specification's words. Raises UsageError."""
    given = None if weights is None else tuple(float(weight) for weight in weights)
    return MergePlan(strategy(name), given, rank_max, TrustRegion(max_delta_fro=max_delta_fro))


def name_of(method: Method) -> str:
    """The strategy's name where space and rule are one's, else `space/rule`."""
    kind = (method.space, method.rule)
    names = (name for name, each in STRATEGIES.items() if (each.space, each.rule) == kind)
    return next(names, "/".join(kind))


def check_method(method: Method) -> None:
    """Raises UsageError for a space or rule that isn't there, and for two that don't go together."""
    if method.space not in RULES_OF:
        raise UsageError(f"unknown space {method.space!r}", mend=f"one of {', '.join(RULES_OF)}")
    rules = RULES_OF[method.space]
    if method.rule in rules:
        return
    known = sorted({rule for each in RULES_OF.values() for rule in each})
    if method.rule not in known:
        raise UsageError(f"unknown rule {method.rule!r}", mend=f"one of {', '.join(known)}")
    spaces = ", ".join(space for space, each in RULES_OF.items() if method.rule in each)
    raise UsageError(f"rule {method.rule} doesn't work in space {method.space}", mend=f"use it with space {spaces}")


def combined(space: str | None, rule: str | None) -> Method:
    """The method of a space and a rule of which one may be left out; defaults are a strategy's that has the other.

    >>> combined(None, "ties").space, combined("core", None).rule, combined(None, "krum").space
    ('full', 'ties', 'factors')
    """
    if rule is None:
        return next((each for each in STRATEGIES.values() if each.space == space), Method(space or "factors"))
    if space is None:
        space = next((each.space for each in STRATEGIES.values() if each.rule == rule), "factors")
    return Method(space, rule)
