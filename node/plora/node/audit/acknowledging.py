"""What a person answers for: something that is wrong with the audit, and that they know about.

- It is an entry of the chain itself, so that who said it when can't be taken back unseen. Nothing is mended and nothing
  hidden by it: `verify` still finds the fault, and says what was noted.
- It covers exactly what was found. Another edit at the same place, or a later one, is a new fault.
- Where the event log disagrees, it covers what the log said up to then: a machine that was restored from a snapshot.
- What a head from outside of the home shows (given by a person, or in a freshness statement) can't be acknowledged.
"""

from __future__ import annotations

from collections.abc import Sequence

from plora.node.audit.chain import Fact
from plora.node.audit.facts import ACKNOWLEDGED
from plora.node.audit.verify import Fault
from plora.proto.errors import UsageError

NOTE_CHARACTERS_MAX = 500


def acknowledgements(faults: Sequence[Fault], seq: int, note: str, at_ms: int) -> list[Fact]:
    """The facts that acknowledge what is wrong at entry `seq`. UsageError where nothing is, or nobody may."""
    if not note.strip() or len(note) > NOTE_CHARACTERS_MAX:
        raise UsageError(f"say in 1 to {NOTE_CHARACTERS_MAX} characters why it is so", where="--note")
    here = [fault for fault in faults if fault.open and fault.seq == seq]
    covered = [fault for fault in here if fault.seen or fault.until]
    if not here:
        places = ", ".join(str(place) for place in dict.fromkeys(fault.seq for fault in faults if fault.open))
        mend = f"open faults are at: {places}" if places else "see `plora audit verify`: nothing is open"
        raise UsageError("nothing is wrong there that isn't acknowledged", where=f"entry {seq}", mend=mend)
    if not covered:
        what = "it is shown by a head from outside of this home, which can't be acknowledged"
        mend = "if you know why, export the audit and note its head anew; a freshness statement expires"
        raise UsageError(what, where=f"entry {seq}", mend=mend)
    return [
        Fact(at_ms, ACKNOWLEDGED, one.what, {"seen": one.seen, "until": one.until, "note": note.strip()})
        for one in covered
    ]
