"""`plora trust reputation` and `plora trust forgive`: what others have earned here, and forgiving one of them.

- A reputation is this peer's own: of bytes, verdicts and broken rules that it saw itself. `forgive` is local, too.
- Forgiving shows what it changes and asks. It takes the credit with the faults: they are a newcomer.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from plora.cli.options import Home, Json, Quiet, Yes, confirm
from plora.cli.output import Output, safe
from plora.cli.running import fields_of, running_peer
from plora.proto.amounts import span_text
from plora.proto.errors import UsageError

Name = Annotated[str, typer.Argument(help="An owner or a peer: its name here, or the start of its id.", metavar="NAME")]


def reputation(home: Home = None, json_: Json = False, quiet: Quiet = False) -> None:
    """List what peers and owners have earned here, the worst first."""
    reply = _asked(home, "")
    output = Output(json_, quiet)
    rows = [{**fields_of(one), **_shown(one)} for one in reply.reputations]
    document = {
        "reputations": [fields_of(one) for one in reply.reputations],
        "obeyed": reply.obeyed,
        "min_reputation": reply.min_reputation,
    }
    output.table(("name", "kind", "id", "score", "good", "bad", "newest_fault", "held"), rows, document)
    if not rows:
        output.hint("Nothing is known of anybody: everybody is a newcomer.")
    elif reply.obeyed:
        output.hint(f"Owners below {reply.min_reputation:.2f} are held (policy.min_reputation).")
    else:
        output.hint("Nobody is held for it: policy.reputation is off.")


def forgive(
    name: Name,
    home: Home = None,
    yes: Yes = False,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Let an owner or a peer begin again as a newcomer, without faults and without credit."""
    from plora.v1 import admin_pb2 as pb

    one = _only(name, _asked(home, name).reputations)
    if not yes:
        confirm("\n".join(_question(one)))
    with running_peer(home) as client:
        reply = client.call("Forgive", pb.ForgiveRequest(subject=one.subject))
    said = f"{safe(_called(one))} is a newcomer: {one.score:.2f} before, {reply.reputation.score:.2f} now"
    Output(json_, quiet).document({"before": fields_of(one), "after": fields_of(reply.reputation)}, [said])


def add_to(app: typer.Typer) -> None:
    """Make them commands of `plora trust`."""
    app.command()(reputation)
    app.command()(forgive)


def _asked(home: Path | None, name: str) -> Any:
    from plora.v1 import admin_pb2 as pb

    with running_peer(home) as client:
        return client.call("Reputations", pb.ReputationsRequest(name=name))


def _only(name: str, known: Any) -> Any:
    """The one of that name against whom something is held: a peer and its owner often have one name."""
    found = [one for one in known if one.bad]
    if not found:
        mend = "see `plora trust reputation`"
        raise UsageError(f"nothing is held against anybody called '{safe(name)}'", mend=mend)
    if len(found) > 1:
        which = ", ".join(f"{one.kind} {one.subject[:12]}" for one in found)
        raise UsageError(f"'{safe(name)}' may mean {which}", mend="name the start of an id")
    return found[0]


def _question(one: Any) -> Iterator[str]:
    yield f"{one.kind:<7}{safe(_called(one))}   {one.subject}"
    yield f"score  {one.score:.2f} of {one.good:.1f} good and {one.bad:.1f} bad; 0.50 from then on, as a newcomer"
    if one.fault:
        yield f"fault  {safe(fault_text(one))}"
    if one.held:
        yield f"held   {one.held} plasmid{'s are' if one.held > 1 else ' is'} held for it, and judged again"
    yield f"Forgive {safe(_called(one))}?"


def _called(one: Any) -> str:
    return str(one.name or one.subject[:12])


def _shown(one: Any) -> dict[str, str]:
    return {
        "id": one.subject[:12],
        "score": f"{one.score:.2f}",
        "good": f"{one.good:.1f}",
        "bad": f"{one.bad:.1f}",
        "newest_fault": fault_text(one),
    }


def reputation_text(one: Any) -> str:
    """The score and the newest fault; empty for a newcomer."""
    if not (one.good or one.bad):
        return ""
    return ": ".join(part for part in (f"{one.score:.2f}", fault_text(one)) if part)


def fault_text(one: Any) -> str:
    """The newest fault and how long ago it was; empty for none."""
    if not one.fault:
        return ""
    ago = span_text(max(0, int(time.time() * 1000) - one.fault_wall_ms))
    return f"{one.fault.replace('_', ' ')}, {ago} ago"
