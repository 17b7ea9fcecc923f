"""Whether what a merge was made of is still believed: who answers for its inputs, and what speaks against them. Pure.

- An input that is live is believed while it is in use here. One that left the live set because a newer version took its
  place may be served on, since nobody took it back: for this its owner, key, domain and expiry are kept with the merge.
- Whatever speaks against such an input ends it: its owner is no longer trusted for its domain and base, or is held for
  what they did here; its key is struck out; its owner or its own key revoked it (also below the owner's threshold), or
  the pinned root did; it has expired; or the policy is no longer the one that it was accepted under. Its manifest is
  gone, so it can't be judged again: doubt means no.
- Not handled here: when to merge and what to serve (`merges`).
"""

from __future__ import annotations

from collections.abc import Callable

from plora.gate.blame import Member
from plora.gate.composition import figures_of, seen_in
from plora.gate.findings import Figure, Findings
from plora.gate.root import root_revocations
from plora.gate.trust import PUBLISH
from plora.node.core.detectors import Detectors
from plora.node.core.docket import Docket
from plora.node.core.effects import MergeInput
from plora.node.core.merge_rows import Generation, Source
from plora.node.core.now import Now
from plora.node.core.plasmid import Book
from plora.node.core.rules import Rules
from plora.proto.manifest import Manifest


class Backing:
    """What the desk knows, as the schedule of merges asks for it. `rules`: today's policy and trust.

    While `carrying`, nothing is in use here. `holds`: whether an owner's adapters are held for their reputation;
    `released`: whether a person let a content out of quarantine; `detectors` know by what adapters are probed.
    """

    def __init__(
        self,
        book: Book,
        docket: Docket,
        rules: Rules,
        carrying: Callable[[], bool],
        holds: Callable[[str, Now], bool],
        released: Callable[[bytes], bool],
        detectors: Detectors,
    ) -> None:
        self._book = book
        self._docket = docket
        self._rules = rules
        self._carrying = carrying
        self._holds = holds
        self._released = released
        self._detectors = detectors

    def inputs(self, base: str) -> list[MergeInput]:
        """What is in use of a base, in the order in which it was accepted."""
        live = () if self._carrying() else self._book.live.values()
        used = [plasmid for plasmid in live if plasmid.usable and plasmid.manifest.base_model == base]
        return [
            MergeInput(plasmid.content_id, plasmid.digest, plasmid.statement.payload, plasmid.accepted_ms or 0)
            for plasmid in sorted(used, key=lambda one: one.arrival)
        ]

    def made(self, number: int, inputs: tuple[MergeInput, ...], report: str) -> Generation:
        """A merge that was made of these, with what must be known of them later."""
        sources = tuple(map(self._source, inputs))
        contents = tuple(item.content_id.hex() for item in inputs)
        return Generation(number, contents, report, sources, self._rules.policy_digest)

    def probes(self) -> bool:
        """Whether merges are probed before they are served."""
        return self._rules.policy.probes

    def stamp(self, base: str) -> str | None:
        """By what merges of a base are probed now; "" where they can't be, None where that isn't known yet."""
        named = (one.manifest for one in self._book.live.values() if one.usable and one.manifest.base_model == base)
        return self._detectors.probing(next((manifest.base_digest for manifest in named), ""))

    def trials_per_hour(self) -> int:
        """How many merges of fewer are probed an hour at most: as many as adapters."""
        return self._detectors.queue.budget.per_hour

    def fault(self, findings: Findings) -> tuple[str, tuple[Figure, ...]]:
        """Why a merge with these figures fails, "" where they don't say so; and the figures that count."""
        policy = self._rules.policy
        return seen_in(findings, policy), figures_of(findings, policy)

    def members(self, inputs: tuple[MergeInput, ...]) -> list[Member]:
        """The inputs as those take part who may be to blame."""
        sources = map(self._source, inputs)
        return [Member(one.digest, source.owner, source.domain) for one, source in zip(inputs, sources, strict=True)]

    def excused(self, inputs: tuple[MergeInput, ...]) -> list[str]:
        """The digests of those whom a person here released."""
        return [one.digest for one in inputs if self._released(one.content_id)]

    def doubt(self, base: str, generation: Generation, now: Now) -> str:
        """Why a merge may not be served: what its first doubtful input is accused of; empty if it may."""
        for number, content in enumerate(generation.inputs):
            plasmid = self._book.live.get(bytes.fromhex(content))
            if plasmid is not None and plasmid.usable:
                continue
            source = generation.sources[number] if number < len(generation.sources) else None
            why = "is no longer accepted" if plasmid is not None else self._displaced(base, content, source, now)
            if not why and generation.policy != self._rules.policy_digest:
                why = "was accepted under another policy"
            if why:
                return f"{content[:12]} {why}"
        return ""

    def _source(self, item: MergeInput) -> Source:
        plasmid = self._book.live.get(item.content_id)
        return Source.of(plasmid.manifest if plasmid else Manifest.from_bytes(item.payload))

    def _displaced(self, base: str, content: str, source: Source | None, now: Now) -> str:
        """What speaks against an input that is not live."""
        if source is None:
            return "is no longer known"
        trust = self._rules.trust
        owner = trust.owner(source.owner)
        if owner is None or trust.distrusts(source.key_id) or not owner.covers(source.domain, base, PUBLISH):
            return "is of an owner who is not trusted for it"
        if self._holds(source.owner, now):
            return "is of an owner who is held for what they did here"
        named = (content, source.owner, source.key_id)
        by_root = root_revocations(trust.root, self._docket.revocations(*named)) if trust.root is not None else ()
        if self._docket.taken_back(*named) or any(by_root):
            return "was revoked"
        return "has expired" if now.wall_ms >= source.expires_ms else ""
