"""Group commit: one thread that turns what arrives within a few milliseconds into one transaction.

- Rows are committed in the order of `submit`; a future is done when its rows are durable.
- If a group fails, its members are tried alone, so that only the guilty ones fail.
- `close` commits what was submitted before it.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from plora.node.audit.chain import Fact, Mark
from plora.node.store.disk import RowOp
from plora.proto.errors import StoreError

GROUP_WAIT_S = 0.005

Commit = Callable[[Sequence[RowOp], Sequence[Fact]], Mark]
_Job = tuple[Sequence[RowOp], Sequence[Fact], "Future[Mark]"]


class Writer:
    """The only thread that commits the core's rows while a peer runs; `commit` is the store's."""

    def __init__(self, commit: Commit, group_wait_s: float = GROUP_WAIT_S) -> None:
        self._store = commit
        self._group_wait_s = group_wait_s
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    def submit(self, rows: Sequence[RowOp], facts: Sequence[Fact] = ()) -> Future[Mark]:
        """Queue rows and their facts; the future fails with `StoreError` when they could not be committed.

        Its result is where the audit's chain ended when the group was committed.
        """
        if self._closing.is_set():
            raise StoreError("the store is closed")
        future: Future[Mark] = Future()
        self._jobs.put((rows, facts, future))
        return future

    def close(self) -> None:
        """Commit what is queued and end the thread."""
        self._closing.set()
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            self._closing.wait(self._group_wait_s)
            group, ended = self._drain(job)
            self._commit(group)
            if ended:
                return

    def _drain(self, first: _Job) -> tuple[list[_Job], bool]:
        group = [first]
        while not self._jobs.empty():
            job = self._jobs.get_nowait()
            if job is None:
                return group, True
            group.append(job)
        return group, False

    def _commit(self, group: list[_Job]) -> None:
        try:
            rows = [row for rows, _, _ in group for row in rows]
            head = self._store(rows, [fact for _, facts, _ in group for fact in facts])
        except Exception as error:  # also a defect: the thread must live, and whoever waits must hear of it
            if len(group) == 1:
                group[0][2].set_exception(error)
                return
            for job in group:
                self._commit([job])
        else:
            for _, _, future in group:
                future.set_result(head)
