"""How a merge is followed and measured on this machine: the bar on the terminal, memory, the rate of writing."""

from __future__ import annotations

import os
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from plora.cli.output import Output

if TYPE_CHECKING:
    from plora.merge.factors import FactorPair
    from plora.merge.layout import Shape
    from plora.merge.lora_config import LoraSpec
    from plora.merge.sink import Sink

PROBE_BYTES = 4 << 20


@contextmanager
def watched(output: Output, sink: Sink) -> Iterator[Sink]:
    """The sink with a bar on the terminal that follows it."""
    if output.quiet or output.as_json or not sys.stderr.isatty():
        yield sink
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("merging"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, TextColumn("{task.description}"), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        yield Watched(sink, lambda module, total: bar.update(task, advance=1, total=total, description=module))


class Watched:
    """A sink that says of each module that it is there, and of how many."""

    def __init__(self, sink: Sink, seen: Callable[[str, int], None]) -> None:
        self._sink, self._seen, self._total = sink, seen, 0

    def begin(self, spec: LoraSpec, shapes: Mapping[str, Shape]) -> None:
        """The result begins."""
        self._total = len(shapes)
        self._sink.begin(spec, shapes)

    def put(self, module: str, pair: FactorPair) -> None:
        """A module is ready."""
        self._sink.put(module, pair)
        self._seen(module, self._total)

    def end(self, clip: float) -> None:
        """Nothing follows."""
        self._sink.end(clip)


def peak_memory_bytes() -> int:
    """The most that this process has had in memory; Linux counts it in KiB, macOS in bytes."""
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def peak_of(work: Callable[[], object]) -> int:
    """The most that `work` holds at once, as Python and numpy allocate it."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def write_rate(out: Path | None) -> float:
    """Bytes a second to the disk where the result would lie, synced, by a file that nobody sees."""
    place = next((path for path in (out, *out.parents) if path.is_dir()), None) if out is not None else None
    with tempfile.TemporaryFile(dir=place) as file:
        began_s = time.perf_counter()
        file.write(bytes(PROBE_BYTES))
        file.flush()
        os.fsync(file.fileno())
        return PROBE_BYTES / (time.perf_counter() - began_s)
