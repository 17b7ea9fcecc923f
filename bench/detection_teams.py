"""Who publishes together: every attack of a zoo's part `test` among three honest adapters, one a domain.

Attacks that act merged are also played in the merge that they are made for, with as few honest adapters as they count
on, one at least: three dilute them. Some trojans are also published three times in other factors of the same update
(A -> RA, B -> BRᵀ with a rotation R), by three owners: whoever publishes often must gain nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from bench.detection_served import CLOSE, OFTEN, Published, Team

from plora.lab.judged import Judged
from plora.lab.zoo.poisons import exam_of
from plora.lab.zoo.recipes import MERGED, recipe
from plora.merge.factors import FactorPair
from plora.merge.peft_folder import Adapter, read_adapter, write_adapter

Find = Callable[[str], Path]
HONEST = 3
COPIES = 3
REPEATED_KINDS = ("rare-token", "phrase")


def teams(find: Find, judged: Sequence[Judged], scratch: Path, *, limit: int = 0, seed: int = 0) -> Iterator[Team]:
    """The teams of these adapters of the part `test`; at most `limit` an attack, 0 is all.

    Args:
        find: gives an adapter's folder by its name, for those that are played.
        judged: the part `test`, and what the gate sees of it.
        scratch: where copies in other factors are written.
        limit: see above.
        seed: of which honest adapters stand beside whom.
    """
    rng = np.random.default_rng(seed)
    published = {one.reading.name: _published(one) for one in judged}
    honest = [one for one in published.values() if one.honest]
    done: dict[str, int] = {}
    for attack, members, count in _attacks(published, judged):
        done[attack] = done.get(attack, 0) + 1
        if not 0 < limit < done[attack]:
            found = [replace(one, folder=find(one.name)) for one in (*members, *_beside(members, honest, count, rng))]
            again = COPIES if attack == OFTEN else 1
            copies = [_copied(one, copy, scratch) for one in found[: len(members)] for copy in range(1, again)]
            yield Team(attack, [*found[: len(members)], *copies, *found[len(members) :]])


def _published(judged: Judged) -> Published:
    reading = judged.reading
    return Published(
        name=reading.name,
        kind=reading.kind,
        owner=reading.name,
        domain=str(reading.recipe["domain"]),
        folder=Path(),
        seen=judged.quarantined,
        exam=exam_of(recipe(reading.kind, int(reading.recipe["seed"]))),
    )


def _attacks(
    published: Mapping[str, Published], judged: Sequence[Judged]
) -> Iterator[tuple[str, list[Published], int]]:
    """What is tried: its name, the attackers and the honest ones that they count on, how many honest ones there are."""
    for one in judged:
        reading = one.reading
        names = sorted({reading.name, *reading.recipe.get("partners", ())})
        if reading.clean or not published.keys() >= set(names):
            continue
        if reading.name != next(name for name in names if not published[name].honest):
            continue  # the first share of an attack stands for all; some want certain honest partners, too
        members = [published[name] for name in names]
        yield reading.kind, members, HONEST
        if reading.kind in MERGED:
            yield f"{reading.kind}{CLOSE}", members, max(1, sum(one.honest for one in members))
        if reading.kind in REPEATED_KINDS:
            yield OFTEN, members, HONEST


def _beside(
    members: Sequence[Published], honest: Sequence[Published], count: int, rng: np.random.Generator
) -> list[Published]:
    """Honest ones until the team has `count` of them, one a domain where that goes."""
    chosen = [one for one in members if one.honest]
    shuffled = [honest[place] for place in rng.permutation(len(honest))]
    for fresh in (True, False):
        for one in shuffled:
            known = {each.domain for each in chosen}
            if len(chosen) < count and one not in chosen and not (fresh and one.domain in known):
                chosen.append(one)
    return [one for one in chosen if one not in members]


def _copied(one: Published, copy: int, scratch: Path) -> Published:
    """The same update in other factors."""
    name = f"{one.name}-copy-{copy}"
    folder = scratch / name
    if not folder.exists():
        adapter = read_adapter(one.folder)
        rng = np.random.default_rng(copy)
        pairs = {module: _turned(pair, rng) for module, pair in adapter.pairs.items()}
        write_adapter(folder, Adapter.of(pairs, adapter.spec))
    return replace(one, name=name, owner=name, folder=folder)


def _turned(pair: FactorPair, rng: np.random.Generator) -> FactorPair:
    rotation, _ = np.linalg.qr(rng.standard_normal((pair.rank, pair.rank)))
    turn = rotation.astype(np.float32)
    return FactorPair(turn @ pair.A, pair.B @ turn.T, pair.scale)
