"""Run a program that ends when whoever started it ends, however that happens.

    python -m plora.lab.experiment.child plora sim …

On Linux the kernel sends SIGTERM to the program once its parent is gone; elsewhere it runs to its end.

Not handled here: what the program itself has started.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_SET_DEATH_SIGNAL = 1


def main(words: list[str]) -> None:
    """Become the program of these words; never returns."""
    parent = os.getppid()
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_SET_DEATH_SIGNAL, int(signal.SIGTERM), 0, 0, 0)
        if os.getppid() != parent:
            sys.exit(1)
    os.execvp(words[0], words)  # noqa: S606  the same words that the parent would have run


if __name__ == "__main__":
    main(sys.argv[1:])
