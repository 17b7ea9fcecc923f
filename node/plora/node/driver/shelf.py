"""The adapters that others load: PEFT folders under `adapters/` and merges under `merged/`.

    adapters/OWNER--ID -> ../views/CONTENT_ID         views/CONTENT_ID/{adapter_model.safetensors, adapter_config.json}
    adapters/merged--BASE -> ../merged/BASE/current   merged/BASE/current -> gen-N, merged/BASE/gen-N/{…, measured.json}

Rules:

- A view is made whole beside its place, synced, then renamed; links are switched last, atomically. A reader sees the
  old folder or the new one, never half of one.
- The safetensors file is a hard link to the held blob: no copy, the same bytes. `adapter_config.json` is generated from
  the signed `lora` block; only the base's name may be mapped (`base_paths` in peer.yaml).
- A merge is written to `tmp/`, synced by its worker, renamed to gen-N; `current` is switched to it later, when its row
  is durable. No owner is called `merged`, so that its name beside the adapters is nobody's.
- What was measured of a merge lies in its folder, so that it goes when the merge does.
- A restart begins with `keep_only` what the rows grant, so that nothing withdrawn or not yet granted is left exposed.
- Everything here blocks, and is called from one thread at a time.

Not handled here: when to expose or merge (the core).
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from plora.merge.lora_config import adapter_config_bytes
from plora.node.core.effects import Expose, Merge, MergeInput, ServeMerge
from plora.node.driver.kept import Kept
from plora.node.store.store import blob_path
from plora.proto.durable import sync
from plora.proto.errors import SpoiltBytesError, StoreError
from plora.proto.manifest import ARTIFACT_FILENAME, Manifest
from plora.proto.yaml_view import PLORA_YML

ADAPTERS = "adapters"
MERGED = "merged"
VIEWS = "views"
CURRENT = "current"
TMP = "tmp"

MERGED_NAME = "merged--"
MEASURED = "measured.json"

_MERGE = "merge-"


class Shelf:
    """The folders of one home. Raises OSError and PloraError; the driver turns both into records."""

    def __init__(self, home: Path, base_names: Mapping[str, str]) -> None:
        self._home = home
        self._base_names = base_names
        self.kept = Kept(home)

    def base_name(self, base: str) -> str:
        """What `base_model_name_or_path` says for a base."""
        return self._base_names.get(base, base)

    def expose(self, effect: Expose) -> None:
        """Make `adapters/NAME` the folder of that plasmid."""
        self._view(effect.content_id, effect.digest, effect.payload)
        folder = self._home / ADAPTERS
        folder.mkdir(mode=0o700, exist_ok=True)
        before = _target_of(folder / effect.name)
        _switch(folder / effect.name, f"../{VIEWS}/{effect.content_id.hex()}")
        if before and before != effect.content_id.hex():
            self._drop_view(before)

    def hide(self, name: str) -> None:
        """Take `adapters/NAME` away."""
        link = self._home / ADAPTERS / name
        before = _target_of(link)
        link.unlink(missing_ok=True)
        _sync_folder(self._home / ADAPTERS)
        if before:
            self._drop_view(before)

    def merge_request(self, effect: Merge, weights: Sequence[float] = ()) -> dict[str, Any]:
        """The worker's request for a merge, whose output goes to a folder in `tmp/` that nobody else knows.

        A merge's worker may outlive a killed peer for as long as its merge takes; it must not write into the next one.
        With `weights`, one an input, it is a trial, which neither uses nor adds to what merges keep.
        """
        inputs: list[dict[str, Any]]
        inputs = [
            {"folder": str(self._input(item)), "digest": item.digest, "came": item.accepted_ms}
            for item in effect.inputs
        ]
        for item, weight in zip(inputs, weights, strict=False):
            item["weight"] = weight
        folder = self._home / TMP
        folder.mkdir(mode=0o700, exist_ok=True)
        out = tempfile.mkdtemp(prefix=f"{_MERGE}{folder_name(effect.base)}-{effect.generation}-", dir=folder)
        named = {"inputs": inputs, "out": out, "base_model_name": self.base_name(effect.base)}
        kept = None if weights else self.kept.offer(folder_name(effect.base))
        return named | asdict(effect.recipe) | ({} if kept is None else {"kept": kept})

    def forget_merge(self, effect: Merge, request: Mapping[str, Any]) -> None:
        """A merge failed, maybe over what earlier ones kept for it."""
        shutil.rmtree(request["out"], ignore_errors=True)
        if "kept" in request:
            self.kept.drop(folder_name(effect.base), Path(request["kept"]["fresh"]))

    def take_merge(self, effect: Merge, request: Mapping[str, Any], stays: Collection[str] = ()) -> None:
        """Give a written merge its place, which nothing names yet; of what it keeps for the next one, files `stays`."""
        if "kept" in request:
            self.kept.take(folder_name(effect.base), Path(request["kept"]["fresh"]), stays)
        out = Path(request["out"])
        folder = self._home / MERGED / folder_name(effect.base)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        place = self.merge_folder(effect.base, effect.generation)
        shutil.rmtree(place, ignore_errors=True)
        out.rename(place)
        _sync_folder(folder)

    def serve_merge(self, effect: ServeMerge) -> None:
        """Switch to a generation, and remove those up to the newest that are not kept. Raises OSError if it is gone."""
        folder = self._home / MERGED / folder_name(effect.base)
        if effect.generation:
            self.merge_folder(effect.base, effect.generation).stat()
            self._show_merge(folder, effect.generation)
        else:
            self.hide_merge(effect.base)
        for old in _generations(folder):
            if old <= effect.newest and old not in effect.kept:
                shutil.rmtree(folder / f"gen-{old}", ignore_errors=True)

    def hide_merge(self, base: str) -> None:
        """Serve no merge of a base."""
        self._hide_merge(self._home / MERGED / folder_name(base))

    def merged_folder(self, base: str) -> str:
        """Where the served merge of a base is; empty where there is none."""
        link = self._home / ADAPTERS / f"{MERGED_NAME}{folder_name(base)}"
        return str(link) if link.exists() else ""

    def merge_folder(self, base: str, generation: int) -> Path:
        """The folder of one merge, which never changes; there only while the generation is kept."""
        return self._home / MERGED / folder_name(base) / f"gen-{generation}"

    def keep_measure(self, base: str, generation: int, text: str) -> None:
        """Put what was measured of a merge beside it. Raises FileNotFoundError if the merge is gone."""
        folder = self.merge_folder(base, generation)
        fresh = folder / f".{MEASURED}.new"
        fresh.unlink(missing_ok=True)
        _write_synced(fresh, text.encode())
        fresh.replace(folder / MEASURED)
        _sync_folder(folder)

    def measure(self, base: str, generation: int) -> str:
        """What was measured of a merge; empty where nothing was."""
        with contextlib.suppress(FileNotFoundError):
            return (self.merge_folder(base, generation) / MEASURED).read_text("utf-8")
        return ""

    def generations(self, base: str) -> list[int]:
        """The generations of a base's merges that have their folders."""
        return _generations(self._home / MERGED / folder_name(base))

    def keep_only(self, exposed: Mapping[str, str], generations: Mapping[str, int]) -> None:
        """Take away links that no durable row grants: a crash came between a row and its link.

        `exposed`: content id in hex by name. `generations`: the merge that is served by base; 0 for none.
        """
        (self._home / ADAPTERS).mkdir(mode=0o700, exist_ok=True)  # vLLM's resolver wants it before it is started
        for link in _entries(self._home / ADAPTERS):
            merged = link.name.startswith(MERGED_NAME)
            if not (link.exists() if merged else _target_of(link) == exposed.get(link.name)):
                link.unlink()
        _sync_folder(self._home / ADAPTERS)
        served = {folder_name(base): generation for base, generation in generations.items()}
        self.kept.keep_only([name for name, generation in served.items() if generation])
        for folder in _entries(self._home / MERGED):
            generation = served.get(folder.name, 0)
            if (folder / f"gen-{generation}").is_dir():
                self._show_merge(folder, generation)
            else:
                self._hide_merge(folder)

    def sweep(self) -> None:
        """Remove views that no link names, and what a crash left half made."""
        linked = {_target_of(link) for link in _entries(self._home / ADAPTERS)}
        for view in _entries(self._home / VIEWS):
            if view.name not in linked:
                shutil.rmtree(view, ignore_errors=True)
        for unfinished in (self._home / TMP).glob(f"{_MERGE}*"):
            shutil.rmtree(unfinished, ignore_errors=True)
        self.kept.sweep()

    def _show_merge(self, folder: Path, generation: int) -> None:
        """The link beside the adapters never changes, so that one switch is all that a reader may see."""
        if _target_of(folder / CURRENT) != f"gen-{generation}":
            _switch(folder / CURRENT, f"gen-{generation}")
        link = self._home / ADAPTERS / f"{MERGED_NAME}{folder.name}"
        if not link.is_symlink():
            link.parent.mkdir(mode=0o700, exist_ok=True)
            _switch(link, f"../{MERGED}/{folder.name}/{CURRENT}")

    def _hide_merge(self, folder: Path) -> None:
        for link in (self._home / ADAPTERS / f"{MERGED_NAME}{folder.name}", folder / CURRENT):
            link.unlink(missing_ok=True)
            _sync_folder(link.parent)

    def _input(self, item: MergeInput) -> Path:
        try:
            return self._view(item.content_id, item.digest, item.payload)
        except FileNotFoundError as error:
            raise SpoiltBytesError("the bytes are gone", where=item.digest) from error

    def _view(self, content_id: bytes, digest: str, payload: bytes) -> Path:
        view = self._home / VIEWS / content_id.hex()
        manifest = Manifest.from_bytes(payload)
        config = adapter_config_bytes(manifest.lora, self.base_name(manifest.base_model))
        blob = self._home / blob_path(digest)
        made = view.is_dir() and (view / "adapter_config.json").read_bytes() == config
        if made and (view / ARTIFACT_FILENAME).samefile(blob):
            return view
        fresh = view.with_name(f".{view.name}.new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700, parents=True)
        os.link(blob, fresh / ARTIFACT_FILENAME, follow_symlinks=False)
        _write_synced(fresh / "adapter_config.json", config)
        _sync_folder(fresh)
        shutil.rmtree(view, ignore_errors=True)
        fresh.rename(view)
        _sync_folder(view.parent)
        return view

    def _drop_view(self, content_id: str) -> None:
        still = any(_target_of(link) == content_id for link in _entries(self._home / ADAPTERS))
        if not still:
            shutil.rmtree(self._home / VIEWS / content_id, ignore_errors=True)


def copy_folder(source: Path, target: Path, plora_yml: str) -> None:
    """Copy an exposed adapter, with its signed manifest, to a folder of the user's; what is there is replaced."""
    try:
        target.mkdir(parents=True, exist_ok=True)
        for name in (ARTIFACT_FILENAME, "adapter_config.json"):
            shutil.copyfile(source / name, target / name)
        (target / PLORA_YML).write_text(plora_yml, encoding="utf-8")
    except OSError as error:
        what = f"can't be written ({error.strerror})"
        raise StoreError(what, where=str(error.filename or target), mend="name another folder") from error


def report_text(report: Mapping[str, Any]) -> str:
    """A merge's report as the core keeps it."""
    return json.dumps(report, sort_keys=True, separators=(",", ":"))


def folder_name(base: str) -> str:
    """The name of a base as a folder's. No two bases share one: a base's own name holds no `--`."""
    return base.replace("/", "--")


def _generations(folder: Path) -> list[int]:
    names = (entry.name.removeprefix("gen-") for entry in _entries(folder) if entry.name.startswith("gen-"))
    return sorted(int(name) for name in names if name.isdigit())


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _target_of(link: Path) -> str:
    """The last part of what a link points to; empty if it is none."""
    with contextlib.suppress(OSError):
        return link.readlink().name
    return ""


def _switch(link: Path, target: str) -> None:
    fresh = link.with_name(f".{link.name}.new")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target)
    fresh.replace(link)
    _sync_folder(link.parent)


def _write_synced(path: Path, data: bytes) -> None:
    with path.open("xb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def _sync_folder(folder: Path) -> None:
    if folder.is_dir():
        sync(folder)
