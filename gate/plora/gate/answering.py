"""One JSON line in, one JSON line out, whatever goes wrong: what the gate's workers have in common."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from plora.proto.errors import PloraError

WHAT_MAX = 200


def answered(line: str, reply: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> str:
    """What `reply` says to the request in a line, or `{"error": {"what": …, "where": …}}`, as one line of JSON."""
    try:
        return json.dumps(reply(json.loads(line)), sort_keys=True)
    except PloraError as error:
        return json.dumps({"error": {"what": error.what, "where": error.where}})
    except Exception as error:  # a crash must reach the caller as a reply
        return json.dumps({"error": {"what": f"{type(error).__name__}: {error}"[:WHAT_MAX], "where": ""}})
