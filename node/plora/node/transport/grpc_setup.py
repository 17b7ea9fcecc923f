"""The one place that imports grpc: its environment must be settled before its first use.

- TLS 1.3 only: the 1.2 suites are cut down to an RSA-only one, which no P-256 leaf can use.
- grpc's own logging stays silent: whatever matters comes back as a status, and is reported once, by us.
- No fork handlers: workers are started by exec.
- grpc's compiler of protos at run time (`grpc_tools`, where it is installed) is kept out: 8 MB for nothing.

Every other module says `from plora.node.transport.grpc_setup import grpc`.
"""

from __future__ import annotations

import os
import sys

os.environ["GRPC_SSL_CIPHER_SUITES"] = "ECDHE-RSA-AES128-GCM-SHA256"
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

_hidden = "grpc_tools" not in sys.modules
if _hidden:
    sys.modules["grpc_tools"] = None  # type: ignore[assignment]  # makes its import fail, which grpc copes with

import grpc  # noqa: E402 - after its environment
import grpc.aio  # noqa: E402
from grpc._cython import cygrpc  # type: ignore[attr-defined]  # noqa: E402 - channelz has no other name

if _hidden:
    del sys.modules["grpc_tools"]

EOF: object = grpc.aio.EOF
"""What a stream's `read` gives at the end."""

__all__ = ["EOF", "cygrpc", "grpc"]
