"""The row of a base's merges: which generation is newest, which one is served, and which ones can be gone back to.

| table | key | value |
|---|---|---|
| `merges` | name of the base model | the newest generation, those before it that are kept, and the one that is served |

- `serves` is 0 while the newest generation is served, else the earlier one that a person went back to.
- `sources` say of each input who signed it and until when it is valid: an input that a newer version has displaced may
  be served on, one that was revoked, distrusted or has expired may not, and its manifest is no longer at hand.

>>> row = MergeRow(base="mini", generation=2, inputs=("ab" * 32,), report="{}")
>>> decode_merge(b"mini", merge_row(row).value) == row, row.serving
(True, 2)
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, field, fields
from typing import Any

from plora.node.core.config import Recipe
from plora.node.store.disk import Put
from plora.proto.errors import StoreError
from plora.proto.fields import parse_timestamp
from plora.proto.manifest import Manifest

MERGES = "merges"


@dataclass(frozen=True, slots=True)
class Source:
    """Who answers for one input of a merge. `expires_ms`: milliseconds since 1970."""

    owner: str
    key_id: str
    domain: str
    expires_ms: int

    @classmethod
    def of(cls, manifest: Manifest) -> Source:
        """The source of what a manifest describes."""
        return cls(manifest.owner, manifest.key_id, manifest.domain, parse_timestamp(manifest.expires) * 1000)


@dataclass(frozen=True, slots=True)
class Generation:
    """One merge: its number, content ids of its inputs in hex, the worker's report as JSON text, who signed the inputs.

    `policy` is the digest of the policy under which the inputs were accepted, `recipe` how they were merged, `probed`
    what probes said of it (`plora.node.core.proving`), empty where it wasn't asked.
    """

    number: int
    inputs: tuple[str, ...]
    report: str = ""
    sources: tuple[Source, ...] = ()
    policy: str = ""
    recipe: Recipe = field(default_factory=Recipe)
    probed: str = ""


@dataclass(frozen=True, slots=True)
class MergeRow:
    """The merges of a base: the newest (its fields as in `Generation`), those before it, newest first."""

    base: str
    generation: int
    inputs: tuple[str, ...]
    report: str = ""
    sources: tuple[Source, ...] = ()
    policy: str = ""
    before: tuple[Generation, ...] = ()
    serves: int = 0
    recipe: Recipe = field(default_factory=Recipe)
    probed: str = ""

    @classmethod
    def of(cls, base: str, newest: Generation, before: tuple[Generation, ...] = (), serves: int = 0) -> MergeRow:
        """The row of a base whose newest merge is `newest`."""
        one = newest
        said = (one.report, one.sources, one.policy)
        return cls(base, one.number, one.inputs, *said, before, serves, one.recipe, one.probed)

    @property
    def newest(self) -> Generation:
        """The merge that was made last; without inputs when there was nothing to merge."""
        said = (self.report, self.sources, self.policy, self.recipe, self.probed)
        return Generation(self.generation, self.inputs, *said)

    @property
    def serving(self) -> int:
        """The generation that is served; 0 for none."""
        return self.serves or (self.generation if self.inputs else 0)

    @property
    def served(self) -> Generation:
        """The merge that is served; one without inputs when none is."""
        return next((one for one in self.before if one.number == self.serves), self.newest)

    @property
    def kept(self) -> tuple[int, ...]:
        """The generations whose folders stay."""
        return (*((self.generation,) if self.inputs else ()), *(one.number for one in self.before))

    def having(self, numbers: Collection[int]) -> MergeRow:
        """What is left of it when only these generations have their folders; the next number is the same."""
        newest = self.newest if self.generation in numbers else Generation(self.generation, ())
        before = tuple(one for one in self.before if one.number in numbers)
        return MergeRow.of(self.base, newest, before, self.serves if self.serves in numbers else 0)


def merge_row(row: MergeRow) -> Put:
    """The row of a base's merges."""
    told = {**_members(row.newest), "before": row.before, "serves": row.serves}
    told["generation"] = told.pop("number")
    value = json.dumps(told, default=_members, sort_keys=True, separators=(",", ":"))
    return Put(MERGES, row.base.encode(), value.encode())


def decode_merge(key: bytes, value: bytes) -> MergeRow:
    """Read a row of `merges`; `StoreError` when it is not what `merge_row` writes."""
    try:
        told = json.loads(value)
        newest = _generation({**told, "number": told["generation"]})
        before = tuple(map(_generation, told.get("before", ())))
        return MergeRow.of(key.decode(), newest, before, int(told.get("serves", 0)))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise StoreError("a merge can't be read", where=f"state.db: {MERGES}") from error


def _generation(told: dict[str, Any]) -> Generation:
    return Generation(
        int(told["number"]),
        tuple(told["inputs"]),
        str(told["report"]),
        tuple(Source(**source) for source in told.get("sources", ())),
        str(told.get("policy", "")),
        Recipe(**told.get("recipe", {})),
        str(told.get("probed", "")),
    )


def _members(part: Generation | Source | Recipe) -> dict[str, Any]:
    return {member.name: getattr(part, member.name) for member in fields(part)}
