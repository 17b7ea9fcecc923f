"""Commands that show a running peer to its person as more than a table: the web page."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from plora.cli.options import Home, Json, Quiet
from plora.cli.output import Output
from plora.cli.running import running_peer

REDIRECT = '<!doctype html><meta charset="utf-8"><title>Plora</title><meta http-equiv="refresh" content="0;url={}">\n'


def web(
    home: Home = None,
    open_: Annotated[bool, typer.Option("--open", help="Open it in this machine's browser.")] = False,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Open the web page, and print the address that lets it act.

    The page listens on this machine only; from elsewhere come through `ssh -L`. The token stands behind the `#`, which
    a browser keeps to itself. Whoever has it can pin and remove here: without it the page is read-only.
    """
    from plora.v1 import admin_pb2 as pb

    with running_peer(home) as client:
        reply = client.call("Web", pb.WebRequest())
    token_file = Path(reply.token_file)
    url = f"{reply.url}#token={token_file.read_text('ascii').strip()}"
    output = Output(json_, quiet)
    output.document({"url": url, "page": reply.url, "token_file": reply.token_file}, [url])
    if open_:
        opened = _opened(token_file.with_name("web.html"), url)
        output.hint("Opened in the browser." if opened else "No browser was found here: open the address in one.")


def _opened(redirect: Path, url: str) -> bool:
    """By a file that only this user reads: a browser's arguments are seen by everybody on the machine."""
    redirect.touch(mode=0o600)
    redirect.chmod(0o600)
    redirect.write_text(REDIRECT.format(url), encoding="ascii")
    return webbrowser.open(redirect.resolve().as_uri())
