"""Graphs from files: edge lists and GraphML.

Rules:

- A name that ends in `.graphml` is GraphML (read by networkx), any other an edge list.
- An edge list has one edge a line, two peers' numbers from 0 between spaces or a comma; what follows them on the line,
  empty lines, and what follows `#` count for nothing. A peer that is on no line knows nobody.
- The nodes of GraphML are as many as the peers. They are numbered by their ids where these are 0 … n-1, else in the
  order of the file. Directions and doubles count for nothing.
- Whatever is wrong is named with its file, and its line where there is one.

>>> from tempfile import TemporaryDirectory
>>> with TemporaryDirectory() as folder:
...     path = Path(folder, "edges.txt")
...     _ = path.write_text("0 1  # friends\\n2,1\\n")
...     read(path, 4).pairs()
[(0, 1), (1, 2)]
"""

from __future__ import annotations

from pathlib import Path
from xml.etree.ElementTree import ParseError

from plora.proto.errors import UsageError
from plora.sim.topology import Edges, Graph, graph_of

FORM = "one edge a line, as `0 1`"


def read(path: Path, agents: int) -> Graph:
    """The graph of that many peers in a file; UsageError where there is none."""
    try:
        return _graphml(path, agents) if path.suffix == ".graphml" else graph_of(agents, _edge_list(path, agents))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"no graph: {error}", where=str(path), mend=FORM) from None


def _edge_list(path: Path, agents: int) -> Edges:
    found = []
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            fields = line.partition("#")[0].replace(",", " ").split()
            if fields:
                found.append(_edge(fields, agents, f"{path}:{number}"))
    return found


def _edge(fields: list[str], agents: int, where: str) -> tuple[int, int]:
    try:
        a, b = (int(field) for field in fields[:2])
    except ValueError:
        raise UsageError(f"no edge: {' '.join(fields)[:80]}", where=where, mend=FORM) from None
    if a == b or not (0 <= a < agents and 0 <= b < agents):
        mend = f"two different numbers from 0 to {agents - 1}"
        raise UsageError(f"no edge {a} - {b} among {agents} peers", where=where, mend=mend)
    return a, b


def _graphml(path: Path, agents: int) -> Graph:
    from networkx import NetworkXError, read_graphml

    try:
        found = read_graphml(path)
    except (ParseError, NetworkXError, ValueError, KeyError) as error:
        raise UsageError(f"no GraphML: {error}", where=str(path), mend="write it anew") from None
    names = [str(node) for node in found.nodes]
    if len(names) != agents:
        raise UsageError(f"{len(names)} nodes for {agents} peers", where=str(path), mend=f"agents = {len(names)}")
    numbers = {name: number for number, name in enumerate(names)}
    if set(names) == {str(number) for number in range(agents)}:
        numbers = {name: int(name) for name in names}
    loops = [node for node in found.nodes if found.has_edge(node, node)]
    if loops:
        raise UsageError(f"node {loops[0]} has an edge to itself", where=str(path), mend="take the edge out")
    return graph_of(agents, [(numbers[str(a)], numbers[str(b)]) for a, b in found.edges()])
