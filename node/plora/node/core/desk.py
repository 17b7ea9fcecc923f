"""The desk: what to make of every manifest that gossip brings. Pure.

- A manifest is judged when it arrives and whenever something that its verdict depends on changes: a statement, the
  features of its bytes, policy or trust, time. The gate decides; the desk carries the decision out.
- Granting waits until the verdict is durable (`Persisted`): only then the plasmid is exposed, recorded and merged.
  Withdrawing doesn't wait: it is hidden, no longer served and unmerged at once, even if the disk is full.
- A verdict is written and recorded when its outcome, stage or reason changes, not when its evidence does. One that was
  written before a crash, and perhaps not recorded, is written and recorded again: no verdict lacks its record.
- ACCEPT is only ever said of bytes that are held. A worker that fails on bytes twice means QUARANTINE
  "examination_failed", an exception of this program REJECT "internal_error": nobody is blamed, a restart tries again.
- After a restart the rows say what was granted; everything is judged again, and what no longer holds is withdrawn.
- A content's first acceptance is to its owner's credit and that of the peer that brought it; one that breaks the rules
  by itself counts against its owner, once. Whose score changes is judged again, where the policy looks at it.
- What a person wished for single contents (pinned, removed) is durable and obeyed (`wishes`). A peer that only carries
  (`subscribe.carry`) judges and serves what it holds, but exposes and merges nothing.
- The newest version of a series that a trusted owner validly signed is written down with the verdict and never
  forgotten: no peer goes back below what it durably saw.
- Not handled here: which statements are valid and live (gossip), bytes (`larder`), what the gate is asked (`judging`),
  what is in use (`granting`), when to merge (`merges`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from plora.gate import BaseFacts, Policy, Trust, Verdict, decide
from plora.node.core.alarms import CLOCK_MS_MAX, CLOCK_TIMER, Alarms
from plora.node.core.backing import Backing
from plora.node.core.blames import BLAMES, Blames
from plora.node.core.bookkeeping import (
    Tell,
    revoked_body,
    spoilt_body,
    trust_body,
    verdict_records,
)
from plora.node.core.config import CoreConfig
from plora.node.core.detectors import FINDINGS, PROBES_TIMER, Detectors
from plora.node.core.docket import Docket, opened, owner_speaking, series_of
from plora.node.core.effects import Emit
from plora.node.core.errands import let_go, run_errand
from plora.node.core.events import (
    DetectorsChanged,
    DiskSpace,
    Event,
    Examined,
    FetchAsked,
    ForgiveAsked,
    Inspected,
    Merged,
    Persisted,
    PersistFailed,
    PinAsked,
    PolicyChanged,
    Publish,
    ReleaseAsked,
    RemoveAsked,
    RollbackAsked,
    RoomNeeded,
    SettingsChanged,
    Start,
    TimerDue,
    Tried,
    Wanted,
)
from plora.node.core.freshness import FRESHNESS_TIMER, SIGNED_TIME, FreshnessWatch
from plora.node.core.granting import Granting
from plora.node.core.judging import Judge, Judging, Voted
from plora.node.core.larder import ANNOUNCE_TIMER, Larder
from plora.node.core.merge_rows import MERGES, decode_merge
from plora.node.core.merges import TIMER as MERGE_TIMER
from plora.node.core.merges import Merges
from plora.node.core.notices import (
    BytesFailed,
    BytesHeld,
    Judged,
    LinkLost,
    LinkReady,
    Notice,
    Outputs,
    SlotMoved,
    SourceFound,
    StatementAdded,
    StatementDropped,
)
from plora.node.core.now import Now
from plora.node.core.plasmid import Book, Plasmid, look_of
from plora.node.core.recalling import Recalled
from plora.node.core.reputations import Reputations, reputations_of, witness_verdict
from plora.node.core.rotations import ROTATIONS, believed_ids, follow
from plora.node.core.rows import (
    VERSIONS,
    decode_version,
    features_row,
    forget_features,
    forget_verdict,
    told,
    untold_row,
    verdict_row,
    version_row,
)
from plora.node.core.rules import Rules
from plora.node.core.showing import Showing
from plora.node.core.transactions import Transactions
from plora.node.core.wishes import WISHES, Wishes
from plora.node.store.snapshot import Snapshot
from plora.proto.manifest import Manifest
from plora.proto.payloads import Freshness, Revocation
from plora.proto.records import ErrorMet, Wished
from plora.proto.records import Examined as ExaminedRecord
from plora.proto.statement import Statement

RETRY_MS = 10_000
SIGNED = "signatures and quorum"
SIGNED_WELL = ("", "below_quorum")
"""What that stage says of a manifest that a believed key of a trusted owner signed."""


class Desk:
    """The decisions of one peer. `live` gives the statements that gossip took up from the snapshot."""

    def __init__(
        self,
        config: CoreConfig,
        policy: Policy,
        trust: Trust,
        snapshot: Snapshot,
        live: Callable[[], Iterable[Statement]],
        bases: Mapping[str, BaseFacts] | None = None,
        voted: Voted = lambda case, seen_ms: case,
        reputations: Reputations | None = None,
        judge: Judge = decide,
        tell: Tell = verdict_records,
    ) -> None:
        self._tell = tell
        self.rules = Rules(policy, trust)
        self.reputations = reputations_of(config, snapshot, reputations)
        self._heed_rules()
        versions = (decode_version(key, value) for key, value in snapshot.rows(VERSIONS))
        self.docket = Docket(config.swarm, bases or {}, {row.series: row for row in versions})
        self.docket.believed = believed_ids(snapshot.rows(ROTATIONS))
        self.freshness = FreshnessWatch(self.docket, snapshot.rows(SIGNED_TIME))
        self.book = Book()
        self.showing = Showing(self.book, lambda: self.trust, lambda: self.carrying)
        self.wishes = Wishes(snapshot.rows(WISHES))
        self.larder = Larder(config, self.book, self.wishes, snapshot, self.showing.nickname)
        merges = (decode_merge(key, value) for key, value in snapshot.rows(MERGES))
        self.detectors = Detectors(config.probe_budget, snapshot.rows(FINDINGS))
        asked = (self.wishes.released, self.detectors)
        backing = Backing(self.book, self.docket, self.rules, lambda: self.carrying, self._holds, *asked)
        self.blames = Blames(snapshot.rows(BLAMES))
        self.merges = Merges(config, merges, backing)
        self.judging = Judging(
            self.rules,
            judge,
            voted,
            docket=self.docket,
            larder=self.larder,
            detectors=self.detectors,
            reputations=self.reputations,
            wishes=self.wishes,
            blames=self.blames,
            showing=self.showing,
        )
        self._recalled = Recalled(snapshot)
        self._live = live
        self._granting = Granting(self.showing, self.merges)
        self.alarms = Alarms()
        self._writing = Transactions()

    @property
    def policy(self) -> Policy:
        """Today's."""
        return self.rules.policy

    @property
    def trust(self) -> Trust:
        """Today's."""
        return self.rules.trust

    @property
    def carrying(self) -> bool:
        """Whether this peer only stores and passes on."""
        return self.larder.subscription.carry

    def handle(self, event: Event | Notice, now: Now) -> Outputs:
        """What follows from an event or a notice; those that concern others give nothing."""
        if isinstance(event, SourceFound):  # comes most often, and changes no verdict, no row and no room
            return self.larder.source_found(event.peer, event.content_id)
        return [*self._route(event, now), *self._settle(now), *self._share_room(now), *self._flush()]

    def _route(self, event: Event | Notice, now: Now) -> Outputs:
        match event:  # what comes most often stands first
            case Persisted() | PersistFailed():
                return self._persisted(event, now)
            case StatementAdded() | StatementDropped():
                return self._statement(event, now)
            case BytesHeld() | BytesFailed() | Examined():
                return self._bytes(event, now)
            case LinkReady(peer):
                return self.larder.link_ready(peer)
            case LinkLost(peer):
                self.larder.link_lost(peer)
                return []
            case TimerDue(timer):
                return self._timer(timer, now)
            case Inspected() | DetectorsChanged():
                return self._inspected(event, now)
            case Merged():
                return self._merged(event, now)
            case Tried():
                return self._tried(event, now)
            case _:
                return self._asked(event, now)

    def _asked(self, event: Event | Notice, now: Now) -> Outputs:
        """What the person, the daemon or the council asks for."""
        match event:
            case Start():
                return self._start(now)
            case SlotMoved():
                return self._slot_moved(event, now)
            case PolicyChanged():
                return self._policy_changed(event, now)
            case SettingsChanged():
                self.detectors.queue.budget = event.probe_budget
                out = [*self.larder.changed(event, now), *self._judge_all(list(self.book.live), now)]
                return [*out, *self.merges.changed(event.recipe, now, self.book.bases())]
            case DiskSpace():
                return self.larder.measured(event, now)
            case RoomNeeded(size_bytes):
                return self.larder.make_room(size_bytes, now)
            case FetchAsked() | PinAsked() | RemoveAsked() | ReleaseAsked():
                return self._wished(event, now)
            case ForgiveAsked(subject):
                self.reputations.forgive(subject)
                return []
            case RollbackAsked(base, generation):
                self._writing.merge(self.merges.serve(base, generation, now))
                return []
            case Publish():
                return self._publish(event, now)
            case _:
                return []

    def _policy_changed(self, event: PolicyChanged, now: Now) -> Outputs:
        before = self.trust
        self.rules.policy, self.rules.trust = event.policy, event.trust
        self._heed_rules()
        out: Outputs = [Emit(trust_body(before, self.trust))] if before != self.trust else []
        out += [*self._follow(owner.owner for owner in self.trust.believed), *self._look(now)]
        return [*out, *self._judge_all(list(self.book.live), now), *self.merges.touch_all(now)]

    def _heed_rules(self) -> None:
        self.reputations.half_life_ms = self.policy.reputation_half_life_ms
        self.reputations.trust(owner.owner for owner in self.trust.believed)

    def _holds(self, owner: str, now: Now) -> bool:
        """Whether the policy holds what this owner signs, for what they did here."""
        score = self.reputations.of(owner, now.wall_ms).score
        return self.policy.reputation and score < self.policy.reputation_floor

    # Statements

    def _start(self, now: Now) -> Outputs:
        for statement in self._live():
            payload = self.docket.add(statement)
            if isinstance(payload, Manifest):
                self._recall(Plasmid(statement, payload, None, 0, now.wall_ms))
        rows, hidden = self._recalled.clear(self.book.live)
        self._writing.rows += rows
        out: Outputs = [*hidden, *self._follow(owner.owner for owner in self.trust.believed), *self._look(now)]
        self._writing.rows += self.detectors.forget(lambda digest: not self.book.of_digest(digest))
        out += self._judge_all(list(self.book.live), now)
        out += [effect for one in list(self.book.live.values()) if one.usable for effect in self.showing.show(one)]
        return [*out, *self.merges.touch_all(now, self.book.bases()), *self.larder.start(now)]

    def _recall(self, plasmid: Plasmid) -> None:
        self._recalled.take_up(plasmid)
        self.book.add(plasmid)
        if plasmid.usable:
            self._granting.recall(plasmid)

    def _statement(self, notice: StatementAdded | StatementDropped, now: Now) -> Outputs:
        statement = notice.statement
        if isinstance(notice, StatementDropped):
            touched = self._touched_by(statement)
            self.docket.drop(statement)
            gone = self._leave(statement.id, notice.reason, now)
            return [*gone, *self._judge_all([key for key in touched if key != statement.id], now)]
        payload = self.docket.add(statement)
        speaks_for = owner_speaking(statement)
        out = self._follow([speaks_for] if speaks_for else [])
        if isinstance(payload, Manifest):
            wish = self.wishes.get(statement.id)
            via = None if wish is not None and wish.own else notice.via
            self.book.add(Plasmid(statement, payload, via, notice.hops, now.wall_ms))
            self._writing.rows += [*self.wishes.arrive(statement.id), *self.larder.arrived(payload.artifacts.sha256)]
        out += [Emit(revoked_body(payload))] if isinstance(payload, Revocation) else []
        if self.docket.takes_back(payload) and self.trust.hears(speaks_for or ""):
            out += self.merges.touch_all(now)
        if isinstance(payload, Freshness) and self.trust.hears(payload.owner):
            return [*out, *self._renew(now)]
        return [*out, *self._judge_all(self._touched_by(statement), now)]

    def _follow(self, owners: Iterable[str]) -> Outputs:
        """Believe the newer records of these owners, as far as they are trusted and prove them."""
        rows, told_of = follow(self.docket, self.trust, owners)
        self._writing.rows += rows
        return [Emit(body) for body in told_of]

    def _look(self, now: Now) -> Outputs:
        """Note how new this peer may believe to be."""
        rows, out = self.freshness.look(self.policy, self.trust, now)
        self._writing.rows += rows
        return out

    def _renew(self, now: Now) -> Outputs:
        """Look again, and judge again what waits for its time, or must from now on."""
        looked, held = self._look(now), self.freshness.holds(self.policy, now)
        return [*looked, *self._judge_all(self.book.deferred(everything=held), now)]

    def _touched_by(self, statement: Statement) -> list[bytes]:
        """Whose verdict it may change: a stranger's word about others changes none, however many of them speak."""
        speaks_for = owner_speaking(statement)
        return self.docket.touched_by(statement) if speaks_for is None or self.trust.hears(speaks_for) else []

    def _leave(self, content_id: bytes, reason: str, now: Now) -> Outputs:
        plasmid = self.book.drop(content_id, reason)
        if plasmid is None:
            return []
        out = self._granting.withdraw(plasmid, now)
        self._writing.rows += [forget_verdict(content_id), told(content_id)]
        self._writing.rows += self.wishes.depart(plasmid, self.showing.title(plasmid), reason)
        self.detectors.leave(plasmid)
        twins = self.book.of_digest(plasmid.digest)
        if twins:
            return [*out, *self.larder.attend(twins[0], now)]
        out += self.larder.leave(plasmid.digest)
        self._writing.rows.append(forget_features(plasmid.digest))
        self._writing.rows += self.detectors.forget(lambda digest: digest == plasmid.digest)
        return out

    # Judging

    def _judge_all(self, content_ids: Iterable[bytes], now: Now) -> Outputs:
        found = (self.book.live.get(content_id) for content_id in content_ids)
        return [item for plasmid in found if plasmid is not None for item in self._judge(plasmid, now)]

    def _slot_moved(self, event: SlotMoved, now: Now) -> Outputs:
        """Votes changed what is known of a slot, or of all."""
        touched = list(self.book.live) if event.slot is None else self.docket.in_slot(event.slot)
        if event.again:
            return self.alarms.set_all(RETRY_MS, [self.book.live[key] for key in touched], now)
        return self._judge_all(touched, now)

    def _judge(self, plasmid: Plasmid, now: Now) -> Outputs:
        verdict = plasmid.verdict = self.judging.verdict_under(self.trust, plasmid, now)
        self._remember_version(plasmid)
        out = [] if verdict.accepted else self._granting.withdraw(plasmid, now)
        out += [*self.larder.attend(plasmid, now), *self.detectors.attend(plasmid, now)]
        witness_verdict(self.reputations, plasmid, verdict, now)
        if verdict.accepted and plasmid.accepted_ms is None:
            plasmid.accepted_ms = now.wall_ms
        if plasmid.noted != look_of(verdict):
            self._note(plasmid, verdict)
        elif plasmid.usable:
            rows, renamed = self._granting.rename(plasmid)
            self._writing.rows += rows
            out += renamed
        at_ms = plasmid.next_alarm_ms(now.wall_ms, self.policy.certificate_wait_ms)
        if verdict.reason == "low_reputation":
            out += self.alarms.set(plasmid, now.wall_ms + CLOCK_MS_MAX, now)  # time alone mends it
        told_council = Judged(plasmid.content_id, plasmid.manifest, verdict)
        return [*out, told_council, *self.alarms.set(plasmid, at_ms, now)]

    def _settle(self, now: Now) -> Outputs:
        """Judge again what is signed by owners whose score changed; it ends, since a content counts once."""
        out: Outputs = []
        while owners := self.reputations.unsettled():
            if self.policy.reputation:
                touched = [key for key, plasmid in self.book.live.items() if plasmid.manifest.owner in owners]
                out += self._judge_all(touched, now)
        return out

    def _remember_version(self, plasmid: Plasmid) -> None:
        """Raise the floor by what was signed well; written again with the verdict, in case it could not be written."""
        verdict = plasmid.verdict
        if verdict is None or not any(one.stage == SIGNED and one.reason in SIGNED_WELL for one in verdict.stages):
            return
        news = self.docket.raise_floor(plasmid.content_id, plasmid.manifest)
        if news or plasmid.noted != look_of(verdict):
            self._writing.rows.append(version_row(self.docket.floors[series_of(plasmid.manifest)]))

    def _note(self, plasmid: Plasmid, verdict: Verdict) -> None:
        """Have the verdict written, and what is wished, in case that could not be written; `_persisted` carries on."""
        plasmid.noted = look_of(verdict)
        name = self.showing.name(plasmid) if verdict.accepted else ""
        row = verdict_row(plasmid.content_id, replace(plasmid.row, usable=verdict.accepted, name=name))
        self._writing.rows += [row, untold_row(plasmid.content_id), *self.wishes.again(plasmid.content_id)]
        self._writing.judge(plasmid.content_id, verdict)

    def _flush(self) -> Outputs:
        conduct, told_of = self.reputations.take()
        persist = self._writing.flush(conduct)
        return [] if persist is None else [*told_of, persist]

    def _persisted(self, event: Persisted | PersistFailed, now: Now) -> Outputs:
        done = self._writing.answered(event.token)
        if isinstance(event, PersistFailed):
            self.reputations.again(done.conduct)
        out: Outputs = list(self.merges.persisted(done.merges, event, now))
        for content_id, verdict in done.verdicts.items():
            plasmid = self.book.live.get(content_id)
            if isinstance(event, PersistFailed):
                out += self._not_written(plasmid, event.reason, now)
                continue
            out += self._tell(content_id, verdict, self.rules.policy_digest)
            if not self._writing.awaits(content_id):
                self._writing.rows.append(told(content_id))
            if plasmid is not None and plasmid.accepted and verdict.accepted:
                out += self._grant(plasmid, now)
        return out

    def _grant(self, plasmid: Plasmid, now: Now) -> Outputs:
        if plasmid.usable:
            return []
        self._writing.rows += self.freshness.accepted(plasmid.manifest, plasmid.verdict) if plasmid.verdict else []
        return self._granting.grant(plasmid, now)

    def _not_written(self, plasmid: Plasmid | None, reason: str, now: Now) -> Outputs:
        out: Outputs = [Emit(ErrorMet(f"a verdict could not be written: {reason}", where="state.db: verdicts"))]
        if plasmid is not None:
            plasmid.noted = None
            out += self.alarms.set(plasmid, now.wall_ms + RETRY_MS, now)
        return out

    # Bytes, merges, links, people

    def _bytes(self, event: BytesHeld | BytesFailed | Examined, now: Now) -> Outputs:
        plasmids = self.book.of_digest(event.digest)
        out: Outputs = []
        match event:
            case BytesHeld(digest):
                out += self.larder.bytes_held(event, now)
                if not plasmids:
                    return [*out, *self.larder.drop(digest)]
            case BytesFailed():
                self.larder.bytes_failed(event)
                return self._bytes_failed(plasmids, event, now)
            case Examined(digest, features, reason, cpu_ms):
                out.append(Emit(ExaminedRecord(digest, cpu_ms, reason)))
                if features is not None and features.sha256 != digest:
                    return [*out, *self._spoilt(digest, now)]
                if not self.larder.examined(event):
                    return [*out, *self.alarms.set_all(RETRY_MS, plasmids, now)]
                if features is not None and plasmids:
                    self._writing.rows.append(features_row(digest, features))
        return [*out, *self._judge_all([plasmid.content_id for plasmid in plasmids], now)]

    def _bytes_failed(self, plasmids: list[Plasmid], event: BytesFailed, now: Now) -> Outputs:
        for plasmid in plasmids:
            plasmid.trouble = event.reason
        if event.reason != "bad_hash":
            return self.alarms.set_all(RETRY_MS, plasmids, now)
        return self._judge_all([plasmid.content_id for plasmid in plasmids], now)

    def _inspected(self, event: Inspected | DetectorsChanged, now: Now) -> Outputs:
        """What a detector found, or what detectors can do by now."""
        if isinstance(event, DetectorsChanged):
            self.detectors.changed(event)
            return [*self._judge_all(list(self.book.live), now), *self.merges.touch_all(now, self.book.bases())]
        rows, out = self.detectors.done(event, now, self.policy)
        self._writing.rows += rows
        touched = [plasmid.content_id for plasmid in self.book.of_digest(event.digest)]
        return [*out, *self._judge_all(touched, now), *self.detectors.due(now)]

    def _merged(self, event: Merged, now: Now) -> Outputs:
        row, effects = self.merges.merged(event, now)
        out: Outputs = list(effects)
        if event.culprit:
            out += self._spoilt(event.culprit, now)
        self._writing.merge(row)
        return out

    def _tried(self, event: Tried, now: Now) -> Outputs:
        row, effects, blame = self.merges.tried(event, now)
        self._writing.merge(row)
        self._writing.rows += self.blames.put(event.base, blame.culprits, now.wall_ms)
        blamed = [one.content_id for digest in blame.culprits for one in self.book.of_digest(digest)]
        return [*effects, *self._judge_all(blamed, now)]

    def _spoilt(self, digest: str, now: Now) -> Outputs:
        """What was examined is what is merged: bytes that changed since are of no use to anybody."""
        if digest not in self.larder.held:
            return []
        plasmids = [plasmid.content_id for plasmid in self.book.of_digest(digest)]
        return [Emit(spoilt_body(digest)), *self.larder.spoilt(digest), *self._judge_all(plasmids, now)]

    def _wished(self, event: Wanted, now: Now) -> Outputs:
        """What a person wants for one content; for one whose manifest is gone, that its bytes go."""
        plasmid = self.book.live.get(event.content_id)
        if plasmid is None:
            return self._let_go(event)
        word, rows = run_errand(event, plasmid, self.showing.title(plasmid), self.wishes, self.larder)
        plasmid.noted = None
        self._writing.rows += rows
        return [Emit(Wished(event.content_id.hex(), word)), *self._judge(plasmid, now)]

    def _let_go(self, event: Wanted) -> Outputs:
        wish, errand = self.wishes.get(event.content_id), let_go(event, self.wishes)
        if wish is None or errand is None:
            return []
        word, rows = errand
        self._writing.rows += rows
        stays = self.wishes.get(event.content_id) is not None or self.book.of_digest(wish.digest)
        return [Emit(Wished(wish.content_id, word)), *([] if stays else self.larder.leave(wish.digest))]

    def _share_room(self, now: Now) -> Outputs:
        """Judge again what gave way, and have those try again who lack room, for as long as some comes free.

        It ends, since bytes give way to newer ones only.
        """
        out: Outputs = []
        while (emptied := self.larder.emptied()) or (hopeful := self.larder.hopeful()):
            if emptied:
                touched = [plasmid.content_id for digest in emptied for plasmid in self.book.of_digest(digest)]
                out += self._judge_all(touched, now)
            else:
                out += [effect for plasmid in hopeful for effect in self.larder.attend(plasmid, now)]
        return out

    def _publish(self, event: Publish, now: Now) -> Outputs:
        self._writing.rows += [row for statement in event.statements for row in self.wishes.ask(statement.id)]
        payloads = [(statement.id, opened(statement)) for statement in event.statements]
        blocks = {key: payload.artifacts for key, payload in payloads if isinstance(payload, Manifest)}
        sizes = {block.sha256: block.size_bytes for block in blocks.values()}
        awaited = tuple(block.sha256 for key, block in blocks.items() if key not in self.book.live)
        seen = [effect for examined in event.examined for effect in self._bytes(examined, now)]
        self.larder.publish(event.held, sizes, awaited)
        known = [plasmid.content_id for digest in event.held for plasmid in self.book.of_digest(digest)]
        return [*seen, *self._judge_all(known, now)]

    # Time

    def _timer(self, timer: str, now: Now) -> Outputs:
        if timer.startswith(MERGE_TIMER):
            base = timer.removeprefix(MERGE_TIMER)
            out: Outputs = list(self.merges.due(base, now))
            self._writing.merge(self.merges.unwritten(base))
            return out
        if timer == ANNOUNCE_TIMER:
            return self.larder.announce_due(now)
        if timer == FRESHNESS_TIMER:
            return self._renew(now)
        if timer == PROBES_TIMER:
            return self.detectors.due(now)
        return self._clock(now) if timer == CLOCK_TIMER else []

    def _clock(self, now: Now) -> Outputs:
        out: Outputs = []
        while (content_id := self.alarms.next_due(now)) is not None:
            out += self._judge_all([content_id], now)
        return [*out, *self.alarms.wind(now)]
