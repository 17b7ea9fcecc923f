"""`python -m plora.gate.worker`: examines artifacts in a process of its own, under limits, without torch.

One JSON request a line on stdin, one JSON reply a line on stdout, in order, until stdin ends:

- `{"path": "/…/blob", "chunk_bytes": 262144}` (the latter may be left out) gives `{"features": {…}, "cpu_ms": 3.2}`,
  with the CPU time that it took;
- whatever goes wrong gives `{"error": {"what": …, "where": …}}`, and the worker goes on.

Address space is limited at the start, CPU time anew for each request, before anything is read: a file that makes the
examination allocate or loop ends this process, which its parent reports as a failed examination, and nothing else.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from typing import TextIO

from plora.gate.features import Features, examine
from plora.proto.errors import PloraError

MEMORY_BYTES_MAX = 3 << 30
CPU_SECONDS_MAX = 120
REQUEST_CHARACTERS_MAX = 16 * 1024


def limit_memory(memory_bytes: int = MEMORY_BYTES_MAX) -> None:
    """Lower the address space for good and allow no core files; a limit that is already lower stays."""
    for kind, limit in ((resource.RLIMIT_AS, memory_bytes), (resource.RLIMIT_CORE, 0)):
        hard = resource.getrlimit(kind)[1]
        lowered = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(kind, (lowered, lowered))


def limit_cpu(cpu_seconds: int = CPU_SECONDS_MAX) -> None:
    """Allow `cpu_seconds` from now on; the system counts from the process's start, so each request moves the limit."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    soft = int(usage.ru_utime + usage.ru_stime) + cpu_seconds
    resource.setrlimit(resource.RLIMIT_CPU, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


def answer(line: str) -> str:
    """The reply to one request line, as one line of JSON."""
    began_s = time.process_time()
    try:
        features = json.loads(_features(line).to_json())
        cpu_ms = round((time.process_time() - began_s) * 1000, 3)
        return json.dumps({"features": features, "cpu_ms": cpu_ms}, sort_keys=True)
    except PloraError as error:
        return json.dumps({"error": {"what": error.what, "where": error.where}})
    except Exception as error:  # the worker outlives whatever one file does to it
        return json.dumps({"error": {"what": f"{type(error).__name__}: {error}"[:200], "where": ""}})


def serve(requests: TextIO, replies: TextIO, before: Callable[[], None] = lambda: None) -> None:
    """Answer every line of `requests` until it ends; `before` runs ahead of each."""
    while line := requests.readline(REQUEST_CHARACTERS_MAX):
        before()
        replies.write(answer(line) + "\n")
        replies.flush()


def _features(line: str) -> Features:
    request = json.loads(line)
    return examine(str(request["path"]), chunk_bytes=int(request.get("chunk_bytes", 0)))


if __name__ == "__main__":
    limit_memory()
    serve(sys.stdin, sys.stdout, limit_cpu)
