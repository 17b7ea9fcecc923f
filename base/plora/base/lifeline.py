"""A process that ends once the one that started it has ended, however that happened.

Rules:

- On Linux the kernel sends SIGTERM then, also after SIGKILL of the parent; elsewhere nothing is done.
- It is the thread that started the process whose end counts: start processes from one that stays.

Not handled here: what the process itself has started.

>>> end_with(os.getppid())  # doctest: +SKIP
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from multiprocessing import parent_process

_SET_DEATH_SIGNAL = 1


def end_with(parent: int) -> None:
    """End this process with `parent`, the id of the process that started it; at once if that has ended by now."""
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None).prctl(_SET_DEATH_SIGNAL, int(signal.SIGTERM), 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(1)


def end_with_pool() -> None:
    """End this process of a pool with the process whose pool it is; nothing in a process of no pool."""
    owner = parent_process()
    if owner is not None and owner.pid is not None:
        end_with(owner.pid)
