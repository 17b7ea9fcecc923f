"""`plora doctor`: everything that can be found wrong with a peer from here, one line each, with its mend.

Works with and without a running peer: the home is looked at from outside; a running peer is asked what it knows, a
stopped one has its port and its neighbours tried for it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from plora.cli.options import Home, Json, Quiet
from plora.cli.output import Output
from plora.cli.running import home_of, running_peer
from plora.proto.errors import PeerNotRunningError

if TYPE_CHECKING:
    from plora.node.doctor.finding import Finding


def doctor(home: Home = None, json_: Json = False, quiet: Quiet = False) -> None:
    """Say what is wrong with a peer, running or not; what mends it.

    Looks at settings, keys, disk, open files; then, of a running peer, at clock, certificates, neighbours, reach and
    bases; of a stopped one, at ports and neighbours; of both, at the audit. Exit code 1 where something is wrong.
    """
    from plora.node.doctor.home import examine_home

    paths = home_of(home)
    told = _running(paths.root)
    found = [*examine_home(paths, running=told is not None), *(told or ())]
    findings = list(dict.fromkeys(found))
    document = {
        "home": str(paths.root),
        "running": told is not None,
        "findings": [{"check": one.check, "what": one.what, "mend": one.mend} for one in findings],
    }
    output = Output(json_, quiet)
    output.document(document, map(str, findings))
    state = "running" if told is not None else "not running"
    if findings:
        raise typer.Exit(1)
    output.hint(f"Nothing is wrong with {paths.root} (its peer is {state}).")


def _running(root: Path) -> list[Finding] | None:
    """What the running peer says of itself; None where none runs."""
    from plora.node.doctor.finding import Finding
    from plora.v1 import admin_pb2 as pb

    try:
        with running_peer(root) as client:
            warnings = client.call("Status", pb.StatusRequest()).warnings
            findings = client.call("Doctor", pb.DoctorRequest()).findings
    except PeerNotRunningError:
        return None
    return [*(Finding(one.check, one.what, one.mend) for one in findings), *(Finding("peer", one) for one in warnings)]
