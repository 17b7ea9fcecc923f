"""Keeps a running model server's adapters what this peer has accepted: after each change, and now and then.

- Nothing here holds the peer up: the server is asked from a thread, and a failure is a record and another attempt.
- What should be served is looked up anew each time and compared with what the server says it has, so that a restart of
  either side, or a change that came while the server was away, needs nothing else.
- One adapter that the server refuses doesn't keep the others back. The same trouble is recorded once.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from plora.node.serving.plan import Adapter, Load, Step, plan
from plora.node.serving.vllm_api import Served
from plora.proto.errors import PloraError
from plora.proto.records import Body, ErrorMet, ServingChanged

RETRY_S = 2.0


class Server(Protocol):
    """A model server; blocking, PloraError for every failure."""

    @property
    def url(self) -> str:
        """Where it is."""

    def served(self) -> Served:
        """What it has."""

    def load(self, name: str, path: str) -> None:
        """Add an adapter."""

    def unload(self, name: str) -> None:
        """Take an adapter away."""


@dataclass(slots=True)
class Done:
    """What one comparison led to: changes in order, and what failed by name."""

    changes: list[ServingChanged] = field(default_factory=list)
    failed: dict[str, ErrorMet] = field(default_factory=dict)


class ServingHook:
    """The hook of one server. `wanted` gives the adapters to serve once their folders are in place."""

    def __init__(
        self,
        server: Server,
        home: str,
        wanted: Callable[[], Awaitable[Mapping[str, Adapter]]],
        note: Callable[[Body], None],
        check_ms: int,
    ) -> None:
        self._server = server
        self._home = home
        self._wanted = wanted
        self._note = note
        self._check_s = check_ms / 1000
        self._woken = asyncio.Event()
        self._failing: dict[str, ErrorMet] = {}
        self._task: asyncio.Task[None] | None = None

    @property
    def troubles(self) -> list[str]:
        """What failed at the last attempt, a sentence each."""
        return [f"the model server at {met.where}: {met.what}" for met in self._failing.values()]

    def start(self) -> None:
        """Begin; to be called in the peer's loop."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    def wake(self) -> None:
        """Something that is served may have changed."""
        self._woken.set()

    async def stop(self) -> None:
        """End; what is loaded stays loaded."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        wait_s = RETRY_S
        while True:
            self._woken.clear()
            good = await self._compare()
            wait_s = self._check_s if good else min(2 * wait_s, self._check_s)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._woken.wait()
            wait_s = RETRY_S if good else wait_s

    async def _compare(self) -> bool:
        """Carry out what is to be done, and record it; whether nothing failed."""
        wanted = await self._wanted()
        done = await asyncio.to_thread(carry_out, self._server, wanted, self._home)
        for change in done.changes:
            self._note(change)
        for name, met in done.failed.items():
            if self._failing.get(name) != met:
                self._note(met)
        self._failing = done.failed
        return not done.failed


def carry_out(server: Server, wanted: Mapping[str, Adapter], home: str) -> Done:
    """Make a server's adapters what is wanted, as far as it lets itself. Raises nothing."""
    done = Done()
    try:
        served = server.served()
    except Exception as error:  # a hook's defect must not stop it for ever
        done.failed[""] = _met(server, error)
        return done
    bases = {adapter.base for adapter in wanted.values()}
    if bases and not bases & set(served.bases):
        done.failed[""] = ErrorMet(
            f"it serves {', '.join(served.bases)}, and nothing that was accepted is for that base",
            where=server.url,
            mend=f"map {', '.join(sorted(bases))} to it by base_paths in peer.yaml",
        )
    for step in plan(wanted, served.adapters, bases=served.bases, home=home):
        _carry_out_one(server, step, done)
    return done


def _carry_out_one(server: Server, step: Step, done: Done) -> None:
    try:
        if isinstance(step, Load):
            server.load(step.name, step.path)
            done.changes.append(ServingChanged(server.url, step.name, "loaded", step.path))
        else:
            server.unload(step.name)
            done.changes.append(ServingChanged(server.url, step.name, "unloaded"))
    except Exception as error:  # the others are tried all the same
        done.failed[step.name] = _met(server, error, f"{step.name}: ")


def _met(server: Server, error: Exception, subject: str = "") -> ErrorMet:
    if isinstance(error, PloraError):
        return ErrorMet(f"{subject}{error.what}", where=server.url, mend=error.mend)
    return ErrorMet(f"{subject}{type(error).__name__}: {error}"[:500], where=server.url)
