"""What `plora measure` does: which merge, which domains, which base, scored, and put together for the peer.

- Scored are the base alone, the merge before the one that is served, and that one, on the same held-out answers: those
  that `plora.lab.corpora` has for the domains of the merge's inputs.
- Scoring runs in a process of its own (`plora.lab.evaluate`, the extra `lab`); the peer goes on meanwhile.
- Not handled here: adapters by themselves, differences between training seeds, and statistics over them.
"""

from __future__ import annotations

import getpass
import platform
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from plora.base import find_base, resolve_base
from plora.cli.training import records
from plora.lab.corpora import DOMAINS
from plora.proto.errors import RefusedError, WorkerError
from plora.v1 import admin_pb2 as pb

BEFORE, AFTER = "before", "after"


def merge_of(located: str, merges: Iterable[pb.MergeInfo]) -> pb.MergeInfo:
    """The merge that the peer located under a name such as `merged/mini@2`.

    Raises RefusedError if it went meanwhile.
    """
    base = located.removeprefix("merged/").rpartition("@")[0]
    for merge in merges:
        if merge.base_model == base and merge.generation:
            return merge
    raise RefusedError("it is served no more", where=located, mend="see `plora events --kind rollback`")


def domains_of(merge: pb.MergeInfo) -> tuple[list[str], list[str]]:
    """The domains of the merge's inputs that have held-out answers, and those that don't.

    Raises RefusedError where none has.
    """
    wanted = sorted({one.domain for one in merge.contributions})
    known, unknown = ([one for one in wanted if (one in DOMAINS) is had] for had in (True, False))
    if not known:
        what = f"there are held-out answers for {', '.join(DOMAINS)} only, not for {', '.join(unknown) or 'nothing'}"
        raise RefusedError(what, where=f"merged/{merge.base_model}", mend="score its folder by a test of your own")
    return known, unknown


def generation_before(merge: pb.MergeInfo) -> int:
    """The newest kept merge before the one that is served; 0 for none."""
    return max((one.generation for one in merge.kept if one.generation < merge.generation), default=0)


def folders_of(merge: pb.MergeInfo) -> dict[str, str]:
    """The folders to score: of the merge that is served, and of the one before, if there is one."""
    names = {generation_before(merge): BEFORE, merge.generation: AFTER}
    return {names[one.generation]: one.folder for one in merge.kept if one.generation in names}


def model_of(base: str, mapped: str) -> str:
    """What to load as the base: what `base_paths` says, where that folder is here, else the base by its own name.

    Raises BaseModelError where it isn't on this machine: nothing is fetched unasked.
    """
    name = mapped if (Path(mapped) / "config.json").is_file() else base
    find_base(resolve_base(name))
    return name


def scored(model: str, folders: Mapping[str, str], domains: Sequence[str], documents: int) -> list[dict[str, Any]]:
    """The rows of `plora.lab.evaluate`. Raises WorkerError with the sentence of whatever it lacks."""
    command = [sys.executable, "-m", "plora.lab.evaluate", "--base", model, "--documents", str(documents)]
    command += ["--domains", ",".join(domains)]
    for name, folder in folders.items():
        command += ["--adapter", f"{name}={folder}"]
    for record in records(command, "measuring"):
        if record["event"] == "done":
            return list(record["rows"])
    raise WorkerError("ended without figures", where="measuring", mend="its last lines stand above")


def measured(rows: Iterable[Mapping[str, Any]], merge: pb.MergeInfo, *, by: str, wall_ms: int) -> pb.Measure:
    """The rows as the peer keeps them: one entry a domain, in their order."""
    found = pb.Measure(generation=merge.generation, before=generation_before(merge), by=by, wall_ms=wall_ms)
    entries: dict[str, pb.DomainMeasure] = {}
    for row in rows:
        domain = row["domain"]
        if domain not in entries:
            entries[domain] = found.domains.add(domain=domain, documents=row["documents"])
        getattr(entries[domain], row["adapter"]).CopyFrom(pb.Estimate(**row["perplexity"]))
        if row["adapter"] == AFTER:
            entries[domain].change.CopyFrom(pb.Estimate(**row["difference"]))
    return found


def whoever() -> str:
    """Who measures, and where."""
    try:
        return f"{getpass.getuser()}@{platform.node()}"
    except (KeyError, OSError):  # a container's user may have no name
        return platform.node()
