"""Commands that hand accepted adapters to whatever serves models: where they are, and which merge is served."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from plora.cli.options import Home, Json, Quiet
from plora.cli.output import Output, safe
from plora.cli.running import running_peer
from plora.proto.errors import UsageError

Served = Annotated[
    str, typer.Argument(help="A plasmid, `merged`, or `merged--BASE` where there are several.", metavar="NAME")
]

OLLAMA_LAST = "for Ollama before 0.34.1; later ones take no ADAPTER: see docs/serving.md"


def path(name: Served, home: Home = None, json_: Json = False, quiet: Quiet = False) -> None:
    """Print the folder of an accepted adapter, for others to load.

    The folder moves on with newer versions; --json also says which version it is now, and its own folder.
    """
    found = _located(name, home)
    Output(json_, quiet).document(found, [found["folder"]])


def export(
    name: Annotated[
        str, typer.Argument(help="A plasmid, `merged`, `merged--BASE`, or an adapter folder.", metavar="NAME")
    ],
    gguf: Annotated[Path | None, typer.Option("--gguf", help="Write this file, for llama.cpp's --lora.")] = None,
    ollama: Annotated[
        Path | None, typer.Option("--ollama", help="Write Modelfile and adapter.gguf to here; Ollama < 0.34.1.")
    ] = None,
    base: Annotated[str, typer.Option("--base", help="The base, if the adapter's name for it isn't known.")] = "",
    from_: Annotated[str, typer.Option("--from", help="With --ollama: its FROM; else the base's folder.")] = "",
    openssf: Annotated[
        Path | None, typer.Option("--openssf", help="Write this OpenSSF Model Signing bundle over the adapter's files.")
    ] = None,
    key: Annotated[Path | None, typer.Option("--key", help="With --openssf: an owner's export key (P-256).")] = None,
    owner: Annotated[
        Path | None, typer.Option("--owner", help="With --openssf: the owner's file (.owner) that names the key.")
    ] = None,
    home: Home = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write an accepted adapter for llama.cpp, Ollama or OpenSSF."""
    from plora.merge.gguf_adapter import write_gguf
    from plora.merge.peft_folder import read_adapter

    if sum(option is not None for option in (gguf, ollama, openssf)) != 1:
        raise UsageError("give one of --gguf FILE, --ollama DIR and --openssf FILE", where="plora export")
    if openssf is not None:
        _export_signed(Output(json_, quiet), _found(name, home), openssf, key, owner)
        return
    file = ollama / "adapter.gguf" if ollama else gguf or Path()
    found = _found(name, home)
    adapter = read_adapter(Path(found["target"]))
    folder = _base_folder(base or found["base_model"])
    file.parent.mkdir(parents=True, exist_ok=True)
    write_gguf(adapter, folder, file, found["name"])
    hint = f"llama-server --model BASE.gguf --lora {file}"
    if ollama:
        lines = (
            f"# {safe(found['name'])}",
            f"# {OLLAMA_LAST}",
            f"FROM {from_ or folder.resolve()}",
            "ADAPTER ./adapter.gguf",
            "",
        )
        (ollama / "Modelfile").write_text("\n".join(lines), encoding="utf-8")
        hint = f"ollama create {_model_name(found['name'])} -f {ollama / 'Modelfile'}  # {OLLAMA_LAST}"
    output = Output(json_, quiet)
    output.document({"name": found["name"], "file": str(file)}, [f"{found['name']}: wrote {file}"])
    output.hint(f"Next: {hint}")


def _export_signed(output: Output, found: dict[str, str], file: Path, key: Path | None, owner: Path | None) -> None:
    from plora.cli.provenance import write_bundle

    if key is None or owner is None:
        mend = "make a key by `plora keygen --only-key --algorithm p256`, list it by `plora owner rotate --add-export`"
        raise UsageError("--openssf needs --key and --owner", where="plora export", mend=mend)
    write_bundle(output, found["name"], Path(found["target"]), file, key, owner)


def rollback(
    base: Annotated[
        str, typer.Argument(help="The base model, where there are merges of several.", metavar="BASE")
    ] = "",
    home: Home = None,
    forward: Annotated[bool, typer.Option("--forward", help="Serve the newest merge again.")] = False,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Serve the merge before, until accepted adapters change."""
    from plora.v1 import admin_pb2 as pb

    with running_peer(home) as client:
        reply = client.call("Rollback", pb.RollbackRequest(base_model=base, forward=forward))
    document = {"base_model": reply.base_model, "before": reply.before, "generation": reply.generation}
    line = f"merged/{reply.base_model}: serves generation {reply.generation}, no longer {reply.before or 'none'}"
    output = Output(json_, quiet)
    output.document({**document, "folder": reply.folder}, [line])
    if not forward:
        output.hint("It stays until accepted adapters change; `plora rollback --forward` serves the newest again.")


def _located(name: str, home: Path | None) -> dict[str, str]:
    from plora.v1 import admin_pb2 as pb

    with running_peer(home) as client:
        reply = client.call("Locate", pb.LocateRequest(name=name))
    return {"name": reply.name, "folder": reply.folder, "target": reply.target, "base_model": reply.base_model}


def _found(name: str, home: Path | None) -> dict[str, str]:
    """Where the adapter is: a folder of the person's own, else as the running peer says."""
    if not (Path(name) / "adapter_config.json").is_file():
        return _located(name, home)
    from plora.merge.peft_folder import read_spec

    base = read_spec(Path(name)).base_model_name or ""
    return {"name": Path(name).resolve().name, "folder": name, "target": name, "base_model": base}


def _base_folder(base: str) -> Path:
    from plora.base.registry import find_base, resolve_base

    if not base:
        raise UsageError("the adapter doesn't say which base it is for", where="plora export", mend="say --base BASE")
    return find_base(resolve_base(base))


def _model_name(name: str) -> str:
    """As Ollama wants it: ada/legal@3 is ada-legal."""
    return name.partition("@")[0].replace("/", "-")
