"""`python -m plora.sim`: the same as `plora sim`."""

from __future__ import annotations

import sys

from plora.cli.main import main

if __name__ == "__main__":
    main(["sim", *sys.argv[1:]])
