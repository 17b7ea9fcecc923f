"""Changes of one place in JSON, which keep the rest in order: what blind changes of bytes hardly ever reach.

- `changed` puts odd things anywhere; `exchanged` puts what stands in the same field elsewhere (`values_of`).

>>> changed(b'{"a":1}', random.Random(4)) != b'{"a":1}'
True
>>> changed(b"no JSON", random.Random(1)) is None
True
"""

from __future__ import annotations

import copy
import json
import random
import re
from collections.abc import Iterable, Iterator
from typing import Any

ODD: tuple[Any, ...] = (
    *(None, True, 0, -1, 1, 2, 255, 2**31, 2**53 - 1, 2**53, 2**63, 10**400, 0.5, -0.0, 1e300, 1e-320),
    *("", "a", "0" * 64, "f" * 64, "é", "\u0000", "\u202e", "../x", "9999-12-31T23:59:59Z", "x" * 300, ".*+" * 9),
    *([], {}, [[]], [0] * 40, ["q_proj"] * 3, {"a": {}}),
)


def changed(text: bytes, rng: random.Random) -> bytes | None:
    """The JSON with one place changed, compact and with sorted keys; None where it is no object or array."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return None
    places = list(_places(document))
    if not places:
        return None
    parent, key = rng.choice(places)
    _change(parent, key, rng)
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")


Values = dict[str, list[Any]]
"""What was seen under the name of a field, or in a list of that name. Digests fit wherever one stood."""

DIGEST = "digest"


def values_of(documents: Iterable[bytes]) -> Values:
    """What stands in these documents, by field."""
    found: Values = {}
    for document in documents:
        for parent, key in _places(json.loads(document)):
            value = parent[key]
            known = found.setdefault(_field(key, value), [])
            if value not in known:
                known.append(value)
    return found


def exchanged(text: bytes, rng: random.Random, values: Values) -> bytes | None:
    """The JSON with one value exchanged for one that stands in the same field elsewhere; None where there is none."""
    document = json.loads(text)
    places = [(parent, key, values.get(_field(key, parent[key]), [])) for parent, key in _places(document)]
    places = [place for place in places if place[2]]
    if not places:
        return None
    parent, key, fitting = rng.choice(places)
    parent[key] = copy.deepcopy(rng.choice(fitting))
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _field(key: Any, value: Any) -> str:
    if isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value):
        return DIGEST
    return key if isinstance(key, str) else type(value).__name__


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield value, key
        yield from _places(item)


def _change(parent: Any, key: Any, rng: random.Random) -> None:
    deed = rng.randrange(5)
    if deed == 0:
        del parent[key]
    elif deed == 1 and isinstance(parent, dict):
        parent[rng.choice(["a", key + "x", key.upper()])] = parent[key]
    elif deed == 2 and isinstance(parent, list):
        parent.insert(key, parent[key])
    elif deed == 3 and isinstance(parent[key], str):
        at = rng.randrange(len(parent[key]) + 1)
        parent[key] = parent[key][:at] + rng.choice(["", "0", "é", "\n", "."]) + parent[key][at + 1 :]
    else:
        parent[key] = rng.choice(ODD)
