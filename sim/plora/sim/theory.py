"""What theory says of a run's graph and of its rounds, to stand in the report beside what was seen.

- All is of the largest component (`largest`): what is published there reaches nobody else.
- Eigenvalues have ten digits: further ones depend on how many threads computed them.
- Of graphs beyond `PEERS_MAX` or `EDGES_MAX` there is no spectrum; of peers alone nothing is said: None.
- Rounds are seen as whole ones. Where peers begin them at all times, half a round too much is seen on average, and
  taken off.

Not handled here: the formulas (`plora.analysis`), and which of them suits a graph (docs/simulator.md).

>>> from plora.sim.topology import complete
>>> found = spectrum(complete(4))
>>> found["lambda2_combinatorial"], found["conductance"]["value"]
(4.0, 0.6666666666666666)
>>> rounds(4, found, [3.0, 2.0], synchronous=True)["observed"]
2.5
>>> rounds(4, found, [3.0, 2.0], synchronous=False)["observed"]
2.0
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from plora.analysis.diffusion import asynchronous_rounds, push_pull_rounds, push_pull_rounds_exact
from plora.analysis.spectra import cheeger_bounds, conductance_estimate, predicted_rounds_spectral, spectral_gap
from plora.sim.topology import Graph, graph_of

PEERS_MAX = 10_000
EDGES_MAX = 500_000
EXACT_MAX = 64
"""Up to so many peers the rounds on a complete graph are counted out."""


def spectrum(graph: Graph) -> dict[str, Any] | None:
    """λ₂ of both Laplacians, conductance, and the bounds of either λ₂ that follow from cuts: lower, upper."""
    part = largest_component(graph)
    if not 2 <= part.n <= PEERS_MAX or len(part.edges) > EDGES_MAX:
        return None
    csr = part.csr()
    return {
        "peers": part.n,
        "lambda2_normalized": _ten_digits(spectral_gap(csr, normalized=True)),
        "lambda2_combinatorial": _ten_digits(spectral_gap(csr, normalized=False)),
        "conductance": asdict(conductance_estimate(csr)),
        "cheeger_normalized": list(cheeger_bounds(csr, normalized=True)),
        "cheeger_combinatorial": list(cheeger_bounds(csr, normalized=False)),
    }


def rounds(
    n: int, spectrum: Mapping[str, Any] | None, took: Sequence[float | None], *, synchronous: bool
) -> dict[str, float | None] | None:
    """Rounds until all n know: the mean of what adapters `took` (None if any isn't through), and what theory has."""
    if n < 2:
        return None
    arrived = [one for one in took if one is not None]
    seen = float(np.mean(arrived)) - (0.0 if synchronous else 0.5) if arrived else None
    return {
        "observed": seen if len(arrived) == len(took) else None,
        "complete_graph": _on_a_complete_graph(n, synchronous),
        "spectral_shape": predicted_rounds_spectral(n, spectrum["lambda2_normalized"], C=1.0) if spectrum else None,
    }


def largest(components: ArrayLike) -> int:
    """The component, of those that peers are in, that has the most of them."""
    return int(np.bincount(np.asarray(components)).argmax())


def largest_component(graph: Graph) -> Graph:
    """The graph of the peers of the largest component alone, in their order."""
    labels = graph.components()
    kept = labels == largest(labels)
    number = np.cumsum(kept) - 1
    return graph_of(int(kept.sum()), number[graph.edges[kept[graph.edges[:, 0]]]])


def _ten_digits(value: float) -> float:
    return float(f"{value:.10g}")


def _on_a_complete_graph(n: int, synchronous: bool) -> float:
    if not synchronous:
        return asynchronous_rounds(n)
    return push_pull_rounds_exact(n) if n <= EXACT_MAX else push_pull_rounds(n)
