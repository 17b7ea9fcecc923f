"""`plora-node --config peer.yaml [--check]`: one peer, until SIGTERM or SIGINT.

- SIGTERM and SIGINT drain: goodbyes, what is queued is sent, everything durable; exit code 0.
- SIGHUP reads neighbours, trust, policy, subscriptions and limits again and makes a new TLS certificate, without losing
  a session; a fault is logged and the old ones stay.
- A supervisor that asks for it is told when the peer listens, reads its settings, leaves, and that its loop goes on
  (`plora.node.daemon.supervisor`).
- Whatever prevents the start is one line on standard error that says how to mend it, and an exit code: 2 for what a
  person configured, 1 for everything else.
"""

from __future__ import annotations

import argparse
import asyncio
import errno
import gc
import signal
import sys
from pathlib import Path

import uvloop

from plora.gate import quorum_trouble
from plora.node.daemon.config import faults_of
from plora.node.daemon.node import Checked, Node, check
from plora.node.daemon.supervisor import Supervisor
from plora.node.memory import give_back
from plora.proto.errors import ConfigError, PloraError, StoreError

FULL = 2
COLLECT_AFTER = (700, 2, 2)
"""Full collections after some minutes of work, not an hour: they break the cycles that ended links and workers leave,
and give back what Python keeps of freed objects."""


def main(arguments: list[str] | None = None) -> None:
    """Entry point of `plora-node`."""
    options = _parser().parse_args(arguments)
    sys.exit(_check(options.config) if options.check else _run(options.config))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="plora-node", description="Run one peer of a Plora swarm until SIGTERM.")
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="peer.yaml of the peer's home")
    parser.add_argument("--check", action="store_true", help="only say what is wrong with the configuration")
    return parser


def _check(path: Path) -> int:
    faults: list[PloraError] = faults_of(path)
    if not faults:
        try:
            trouble = _trouble(check(path))
            faults = [trouble] if trouble else []
        except PloraError as error:
            faults = [error]
    for fault in faults:
        _say(str(fault))
    if not faults:
        _say(f"{path}: good")
    return faults[0].exit_code if faults else 0


def _trouble(checked: Checked) -> ConfigError | None:
    """What a peer starts with all the same, and what its person hardly means."""
    trouble = quorum_trouble(checked.peer.policy, checked.trust)
    return ConfigError(trouble, where=str(checked.home.config)) if trouble else None


def _run(path: Path) -> int:
    try:
        uvloop.run(_serve(path))
    except PloraError as error:
        _say(str(error))
        return error.exit_code
    except OSError as error:
        _say(str(_explained(error)))
        return 1
    return 0


async def _serve(path: Path) -> None:
    supervisor = Supervisor.found()
    node = Node(path, check(path))
    ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    _end_on_signals(ended)
    await node.start()
    _reload_on_signal(node, supervisor)
    gc.collect()
    gc.freeze()  # what start-up made stays; later collections needn't look at it
    gc.collect()  # and full ones needn't wait until there is a quarter as much again
    gc.set_threshold(*COLLECT_AFTER)
    gc.callbacks.append(_after_collection)
    supervisor.ready(_standing(node))
    supervisor.watch(lambda: _standing(node))
    reason = await ended
    supervisor.stopping(reason)
    await node.stop(reason)


def _after_collection(phase: str, info: dict[str, int]) -> None:
    """What a full collection freed, and other work before it, goes back to the system."""
    if phase == "stop" and info["generation"] == FULL:
        give_back()


def _standing(node: Node) -> str:
    """The line that `systemctl status` shows."""
    larder = node.core.desk.larder
    return f"{len(larder.ready)} peers linked, {len(larder.held)} adapters held"


def _end_on_signals(ended: asyncio.Future[str]) -> None:
    loop = asyncio.get_running_loop()

    def end(name: str) -> None:
        if not ended.done():
            ended.set_result(name)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end, number.name)
    loop.add_signal_handler(signal.SIGHUP, lambda: None)  # a start reads the settings anyway


def _reload_on_signal(node: Node, supervisor: Supervisor) -> None:
    def reload() -> None:
        supervisor.reloading()
        try:
            node.reload()
        except PloraError as error:
            _say(f"not reloaded: {error}")
        supervisor.ready(node.reload_trouble or _standing(node))

    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reload)


def _explained(error: OSError) -> StoreError:
    where = str(error.filename or "")
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreError("the disk is full", where=where, mend="free some space; nothing was lost")
    return StoreError(error.strerror or str(error), where=where, mend="check owner and mode of the peer's home")


def _say(line: str) -> None:
    sys.stderr.write(f"plora-node: {line}\n")
