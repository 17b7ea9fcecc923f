"""Whether a peer can be dialed: what came of a try, in one code each, with its sentence and its mend.

- `outcome_of` reads gRPC's status: the codes are all that the rest of the program sees of it.
- `OUTCOMES` is the one table of sentences; `last_error`, `plora peers ping` and `plora doctor` quote it.
- Sentences are about "there": the peer that was dialed.

>>> outcome_of("unavailable", "ipv4:192.0.2.1:4700: Failed to connect to remote host: Connection refused")
'nobody_listens'
>>> OUTCOMES["nobody_listens"].what
'nobody listens there'
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

REACHED = "reached"
NO_ANSWER = "no_answer"
NOBODY_LISTENS = "nobody_listens"
NO_ROUTE = "no_route"
UNKNOWN_HOST = "unknown_host"
NO_PEER = "no_peer"
ANOTHER_PEER = "another_peer"
CLOCKS_APART = "clocks_apart"
NOT_LET_IN = "not_let_in"
DENIED_THERE = "denied_there"
DENIED_HERE = "denied_here"
CUT_OFF_THERE = "cut_off_there"
CUT_OFF_HERE = "cut_off_here"
NO_ADDRESS = "no_address"
BAD_ADDRESS = "bad_address"
BAD_PEER = "bad_peer"
NOT_TRIED = "not_tried"
TOO_OFTEN = "too_often"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a code means, and what helps."""

    what: str
    mend: str = ""


OUTCOMES: Mapping[str, Outcome] = {
    REACHED: Outcome("reached"),
    NO_ANSWER: Outcome("no answer in time", "start that peer; open its TCP port in firewalls, forward it in routers"),
    NOBODY_LISTENS: Outcome("nobody listens there", "start that peer, or correct its address"),
    NO_ROUTE: Outcome("no route leads there", "correct the address, or see to this machine's network"),
    UNKNOWN_HOST: Outcome("no host has that name", "correct the address"),
    NO_PEER: Outcome("something answers there that is no peer", "correct the address"),
    ANOTHER_PEER: Outcome("another peer answers there", "correct the peer id or the address"),
    CLOCKS_APART: Outcome("the clocks are more than a day apart", "set the clock by `timedatectl set-ntp true`"),
    NOT_LET_IN: Outcome("it lets nobody of this swarm in", "compare swarm (`plora status`) and clock on both sides"),
    DENIED_THERE: Outcome("this peer is denied there", "ask for being taken off `deny` in its peer.yaml"),
    DENIED_HERE: Outcome("denied here", "take it off `deny` in peer.yaml"),
    CUT_OFF_THERE: Outcome("this peer is cut off there for a while", "see `penalty` in the event log there"),
    CUT_OFF_HERE: Outcome("it broke a rule and is cut off for a while", "see `plora events --kind penalty`"),
    NO_ADDRESS: Outcome("no address is known", "add `address` to the neighbour in peer.yaml, or let it dial"),
    BAD_ADDRESS: Outcome("that is no address", "write HOST:PORT"),
    BAD_PEER: Outcome("that is no peer id", "write the 64 hexadecimal digits that `plora status` prints there"),
    NOT_TRIED: Outcome("not tried: it sees this peer at another host", "name a host in `advertise` that it sees"),
    TOO_OFTEN: Outcome("not tried: it was asked too often", "ask again in ten seconds"),
}

PARTINGS: Mapping[str, Outcome] = {
    "wrong_swarm": Outcome("it belongs to another swarm", "remove it from `neighbours`, or join its swarm"),
    "no_common_version": Outcome("it speaks another version of the protocol", "bring both to one version of Plora"),
    "clocks_apart": OUTCOMES[CLOCKS_APART],
    "denied": Outcome("one of the two denies the other", "see `deny` in both peer.yaml files"),
    "shunned": Outcome("it was sent away for breaking a rule", "see `penalty` in `plora events` on both sides"),
    "links_in": Outcome("it has all the links that it takes", "raise `links_in` there, or become a neighbour there"),
    "silent": Outcome("it fell silent", "see whether it still runs, and the network between"),
}
"""Why a link was ended by a Goodbye, where a person can do something about it."""

_DETAILS: tuple[tuple[str, str], ...] = (
    ("is cut off", CUT_OFF_THERE),
    ("Connection refused", NOBODY_LISTENS),
    ("Domain name not found", UNKNOWN_HOST),
    ("hostname lookup error", UNKNOWN_HOST),
    ("resol", UNKNOWN_HOST),
    ("certificate has expired", CLOCKS_APART),
    ("certificate is not yet valid", CLOCKS_APART),
    ("WRONG_VERSION_NUMBER", NO_PEER),
    ("Tls handshake failed", ANOTHER_PEER),
    ("No route to host", NO_ROUTE),
    ("Network is unreachable", NO_ROUTE),
    ("imed out", NO_ANSWER),
    ("imeout", NO_ANSWER),
    ("Socket closed", NOT_LET_IN),
    ("Connection reset", NOT_LET_IN),
)
_CODES: Mapping[str, str] = {
    "permission_denied": DENIED_THERE,
    "unauthenticated": NOT_LET_IN,
    "deadline_exceeded": NO_ANSWER,
}


def outcome_of(code: str, details: str) -> str:
    """The outcome that a gRPC status stands for: its code in lower case, and its details."""
    if code == "ok":
        return REACHED
    told = next((outcome for part, outcome in _DETAILS if part in details), NO_ANSWER)
    return told if told == CUT_OFF_THERE else _CODES.get(code, told)


def meaning_of(code: str) -> Outcome:
    """What an outcome or a parting means; a code of a newer peer stands for itself."""
    return OUTCOMES.get(code) or PARTINGS.get(code) or Outcome(code)


def sentence_of(code: str) -> str:
    """The sentence of an outcome or a parting."""
    return meaning_of(code).what
