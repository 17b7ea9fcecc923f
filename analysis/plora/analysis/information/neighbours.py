"""Nearest neighbours by the maximum norm, and how many points are nearer than a distance: exactly, in one thread.

Rules:

- Distances are those of floating-point subtraction, |s - v|; a point is within r if that is less than r, as it stands.
  Boxes of points are skipped, or counted whole, only by bounds that hold for rounded differences too.
- A point is none of its own neighbours, but within any distance of itself.
- Points of the plane are found strip by strip: strips of points next to each other in x, in each the points by y. All
  are visited by y, so that each strip's place is known without a search. Points with more coordinates are found by a
  k-d tree with tight boxes, and leaves large enough for vector instructions.

>>> x = Side.of(np.array([0.0, 1.0, 3.0]))
>>> distances, names = nearest(x, x, 1)
>>> distances.ravel().tolist(), names.ravel().tolist()
([1.0, 1.0, 2.0], [1, 0, 1])
>>> within(x, np.array([1.0, 1.5, 2.5])).tolist()
[1, 2, 2]
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plora.base.compiled import Kept, inlined

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Tree = tuple[Ints, Ints, Floats, Floats, Ints]
"""Of each node the first and the end of its points, the corners of its box, and the coordinate that halves it."""

LEAF_MAX = 128
STRIP = 1.5
"""Points in a strip, in square roots of all points: what took least time of .7 to 3 at 1e4 and 1e5 points."""

_kept = Kept([Path(__file__)])


@dataclass(frozen=True, slots=True)
class Side:
    """n points of one variable (n × d); where d is 1, also their order, which takes a while and is needed twice."""

    points: Floats
    order: Ints | None

    @classmethod
    def of(cls, points: Floats) -> Side:
        """The side of n, or n × d, coordinates."""
        columns = points.reshape(len(points), -1)
        return cls(columns, np.argsort(columns[:, 0]) if columns.shape[1] == 1 else None)


def nearest(left: Side, right: Side, k: int) -> tuple[Floats, Ints]:
    """Of each of n points of both variables the k nearest others: distances, ascending, and numbers, both n × k."""
    n = len(left.points)
    if left.order is not None and right.order is not None:
        size = max(1, round(STRIP * n**0.5))
        x, y = (np.ascontiguousarray(side.points[:, 0]) for side in (left, right))
        return _nearest_in_plane(x, y, left.order, right.order, k, size)
    order, rows, tree = _planted(np.hstack((left.points, right.points)))
    distances, places = np.empty((n, k)), np.empty((n, k), np.int64)
    distances[order], found = _nearest_in_tree(rows, tree, k)
    places[order] = order[found]
    return distances, places


def within(side: Side, radius: Floats) -> Ints:
    """For each point of a variable how many, itself among them, are nearer than its radius, which is above 0."""
    if side.order is not None:
        return _within_on_line(side.points[side.order, 0], side.order, radius)
    order, rows, tree = _planted(side.points)
    counts = np.empty(len(side.points), np.int64)
    counts[order] = _within_in_tree(rows, tree, radius[order])
    return counts


def _planted(points: Floats) -> tuple[Ints, Floats, Tree]:
    """The order of points in a tree, their coordinates (d × n) in that order, and the tree."""
    rows = np.ascontiguousarray(points.T)
    order, tree = _plant(rows)
    return order, np.ascontiguousarray(rows[:, order]), tree


@inlined
def _put(best: Any, names: Any, distance: Any, name: Any) -> None:
    """A nearer one takes its place among the best so far."""
    place = len(best) - 1
    while place > 0 and best[place - 1] > distance:
        best[place] = best[place - 1]
        names[place] = names[place - 1]
        place -= 1
    best[place] = distance
    names[place] = name


@inlined
def _along(xs: Any, ys: Any, who: Any, x: Any, y: Any, first: Any, end: Any, step: Any, best: Any, names: Any) -> None:
    """The points of a strip from a place on, until they are too far in y."""
    for place in range(first, end, step):
        by_y = abs(ys[place] - y)
        if by_y >= best[-1]:
            return
        distance = max(abs(xs[place] - x), by_y)
        if distance < best[-1]:
            _put(best, names, distance, who[place])


@_kept.compiled
def _strips(x: Floats, y: Floats, by_x: Ints, by_y: Ints, size: int) -> tuple[Ints, Floats, Floats, Ints]:
    """The strip of each point; and strip by strip, in the order of y, the points' x, y and numbers."""
    strip, who = np.empty(len(x), np.int64), np.empty(len(x), np.int64)
    for place in range(len(x)):
        strip[by_x[place]] = place // size
    filled = np.arange(0, len(x), size)
    for place in range(len(x)):
        point = by_y[place]
        who[filled[strip[point]]] = point
        filled[strip[point]] += 1
    return strip, x[who], y[who], who


@_kept.compiled
def _nearest_in_plane(x: Floats, y: Floats, by_x: Ints, by_y: Ints, k: int, size: int) -> tuple[Floats, Ints]:
    strip, xs, ys, who = _strips(x, y, by_x, by_y, size)
    lowest, highest = x[by_x[::size]], x[by_x[np.minimum(np.arange(size - 1, len(x) + size - 1, size), len(x) - 1)]]
    n, passed = len(x), np.arange(0, len(x), size)  # of each strip the place that this y has
    distances, found = np.empty((n, k)), np.empty((n, k), np.int64)
    best, names = np.empty(k), np.zeros(k, np.int64)
    for point in by_y:
        best[:], home = np.inf, strip[point]
        for way in (-1, 1):
            there = home if way < 0 else home + 1
            while 0 <= there < len(passed):
                first, end = there * size, min(n, (there + 1) * size)
                gap = x[point] - highest[there] if way < 0 else lowest[there] - x[point]
                if there != home and gap >= best[-1]:
                    break
                above = passed[there] + (there == home)
                _along(xs, ys, who, x[point], y[point], passed[there] - 1, first - 1, -1, best, names)
                _along(xs, ys, who, x[point], y[point], above, end, 1, best, names)
                there += way
        passed[home] += 1
        distances[point], found[point] = best, names
    return distances, found


@inlined
def _above(line: Any, place: Any, radius: Any) -> Any:
    """How many places above are within the radius, on an ascending line: by doubled, then halved steps."""
    inside, step = place, 1
    while inside + step < len(line) and line[inside + step] - line[place] < radius:
        inside += step
        step *= 2
    outside = min(len(line), inside + step)
    while outside - inside > 1:
        middle = (inside + outside) // 2
        if line[middle] - line[place] < radius:
            inside = middle
        else:
            outside = middle
    return inside - place


@inlined
def _below(line: Any, place: Any, radius: Any) -> Any:
    """How many places below are, likewise. Told apart from above, both take half the time of a loop with a sign."""
    inside, step = place, 1
    while inside - step >= 0 and line[place] - line[inside - step] < radius:
        inside -= step
        step *= 2
    outside = max(-1, inside - step)
    while inside - outside > 1:
        middle = (inside + outside) // 2
        if line[place] - line[middle] < radius:
            inside = middle
        else:
            outside = middle
    return place - inside


@_kept.compiled
def _within_on_line(line: Floats, order: Ints, radius: Floats) -> Ints:
    counts = np.empty(len(line), np.int64)
    for place in range(len(line)):
        reach = radius[order[place]]
        counts[order[place]] = _above(line, place, reach) + 1 + _below(line, place, reach)
    return counts


@inlined
def _halve(values: Any, order: Any, first: Any, last: Any, middle: Any) -> None:
    """Order the places from first to last so that none before the middle has a larger value, none after it a smaller.

    Hoare, "Algorithm 65: find" (Comm. ACM 4, 1961).
    """
    while first < last:
        pivot = values[order[(first + last) // 2]]
        i, j = first, last
        while i <= j:
            while values[order[i]] < pivot:
                i += 1
            while values[order[j]] > pivot:
                j -= 1
            if i <= j:
                order[i], order[j] = order[j], order[i]
                i += 1
                j -= 1
        if middle <= j:
            last = j
        elif middle >= i:
            first = i
        else:
            return


@inlined
def _box(rows: Any, chosen: Any, low: Any, high: Any) -> Any:
    """The corners of the box of some points are put down; its widest coordinate."""
    for axis in range(len(rows)):
        low[axis] = high[axis] = rows[axis, chosen[0]]
        for point in chosen[1:]:
            low[axis] = min(low[axis], rows[axis, point])
            high[axis] = max(high[axis], rows[axis, point])
    return np.argmax(high - low)


@_kept.compiled
def _plant(rows: Floats) -> tuple[Ints, Tree]:
    """A k-d tree of d × n coordinates: the halves of node i are 2i + 1 and 2i + 2; all leaves lie equally deep."""
    n, levels = rows.shape[1], 0
    while n >> levels > LEAF_MAX:
        levels += 1
    inner = (1 << levels) - 1
    nodes = 2 * inner + 1
    first, end, axis = np.zeros(nodes, np.int64), np.full(nodes, n), np.zeros(nodes, np.int64)
    low, high, order = np.empty((nodes, len(rows))), np.empty((nodes, len(rows))), np.arange(n)
    for node in range(nodes):
        axis[node] = _box(rows, order[first[node] : end[node]], low[node], high[node])
        if node < inner:
            middle = (first[node] + end[node]) // 2
            _halve(rows[axis[node]], order, first[node], end[node] - 1, middle)
            first[2 * node + 1], end[2 * node + 1] = first[node], middle
            first[2 * node + 2], end[2 * node + 2] = middle, end[node]
    return order, (first, end, low, high, axis)


@inlined
def _bounds(point: Any, low: Any, high: Any) -> Any:
    """The least and the largest distance that a point of the box can have."""
    least = largest = 0.0
    for axis in range(len(point)):
        below, above = low[axis] - point[axis], point[axis] - high[axis]
        least = max(least, below, above)
        largest = max(largest, -below, -above)
    return least, largest


@inlined
def _measure(rows: Any, point: Any, first: Any, end: Any, distances: Any) -> None:
    """The distances of a leaf's points. Slices and plain comparisons let the compiler use vector instructions."""
    for axis in range(len(rows)):
        row, value = rows[axis, first:end], point[axis]
        for place in range(end - first):
            apart = abs(row[place] - value)
            distances[place] = apart if axis == 0 or apart > distances[place] else distances[place]


@_kept.compiled
def _nearest_in_tree(rows: Floats, tree: Tree, k: int) -> tuple[Floats, Ints]:
    first, end, low, high, axis = tree
    n, inner = rows.shape[1], len(first) // 2
    best, names = np.full((n, k), np.inf), np.zeros((n, k), np.int64)
    distances, open_, least = np.empty(2 * LEAF_MAX), np.empty(64, np.int64), np.zeros(64)
    for one in range(n):
        point = rows[:, one].copy()
        open_[0], top = 0, 1
        while top:
            top -= 1
            node = open_[top]
            if least[top] >= best[one, -1]:
                continue
            while node < inner:  # down the nearer half; the other waits
                along = axis[node]
                node, other = 2 * node + 1, 2 * node + 2
                if point[along] - high[node, along] > low[other, along] - point[along]:
                    node, other = other, node
                least[top] = _bounds(point, low[other], high[other])[0]
                if least[top] < best[one, -1]:
                    open_[top] = other
                    top += 1
            _measure(rows, point, first[node], end[node], distances)
            for place in range(end[node] - first[node]):
                if distances[place] < best[one, -1] and first[node] + place != one:
                    _put(best[one], names[one], distances[place], first[node] + place)
        least[0] = 0.0
    return best, names


@_kept.compiled
def _within_in_tree(rows: Floats, tree: Tree, radius: Floats) -> Ints:
    first, end, low, high, _ = tree
    n, inner = rows.shape[1], len(first) // 2
    counts, distances, open_ = np.zeros(n, np.int64), np.empty(2 * LEAF_MAX), np.empty(64, np.int64)
    for one in range(n):
        point, reach = rows[:, one].copy(), radius[one]
        open_[0], top = 0, 1
        while top:
            top -= 1
            node = open_[top]
            least, largest = _bounds(point, low[node], high[node])
            if least >= reach:
                continue
            if largest < reach:
                counts[one] += end[node] - first[node]
            elif node < inner:
                open_[top], open_[top + 1] = 2 * node + 1, 2 * node + 2
                top += 2
            else:
                _measure(rows, point, first[node], end[node], distances)
                for place in range(end[node] - first[node]):
                    counts[one] += distances[place] < reach
    return counts
