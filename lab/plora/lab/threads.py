"""Thread settings that must be made before torch is imported. Spinning pools on shared cores are tens of times slower.

Not handled here: GPUs, data-parallel training.
"""

from __future__ import annotations

import gc
import os
from collections.abc import MutableMapping

THREADS_DEFAULT = 2


def prepare_threads(environ: MutableMapping[str, str], threads: int | None = None) -> int:
    """Set what OpenMP and the tokenizers read at start, and return the thread count to use.

    The count is `threads`, else `OMP_NUM_THREADS`, else 2; settings that are there already are kept.

    >>> settings = {}
    >>> prepare_threads(settings), settings["OMP_WAIT_POLICY"]
    (2, 'PASSIVE')
    """
    asked = environ.get("OMP_NUM_THREADS", "")
    count = threads or (int(asked) if asked.isdecimal() and int(asked) > 0 else THREADS_DEFAULT)
    environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    return count


def use_threads(count: int) -> None:
    """Import torch, transformers and peft, and give torch `count` threads in this process.

    Garbage is collected afterwards: to look again and again through what stays took a sixth of the time.
    """
    prepare_threads(os.environ, count)
    gc.disable()
    try:
        import torch  # first: where it is missing, the others say something else

        # isort: split
        import peft  # noqa: F401 - it imports the others
    finally:
        gc.enable()
    torch.set_num_threads(count)
