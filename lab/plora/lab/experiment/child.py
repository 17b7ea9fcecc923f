"""Run a program that ends when whoever started it ends, however that happens.

    python -m plora.lab.experiment.child plora sim …

On Linux the kernel sends SIGTERM to the program once its parent is gone; elsewhere it runs to its end
(`plora.base.lifeline`).

Not handled here: what the program itself has started.
"""

from __future__ import annotations

import os
import sys

from plora.base.lifeline import end_with


def main(words: list[str]) -> None:
    """Become the program of these words; never returns."""
    end_with(os.getppid())
    os.execvp(words[0], words)  # noqa: S606  the same words that the parent would have run


if __name__ == "__main__":
    main(sys.argv[1:])
