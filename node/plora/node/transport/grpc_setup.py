"""The one place that imports grpc: its environment must be settled before its first use.

- TLS 1.3 only: the 1.2 suites are cut down to an RSA-only one, which no P-256 leaf can use.
- grpc's own logging stays silent: whatever matters comes back as a status, and is reported once, by us.
- No fork handlers: workers are started by exec.

Every other module says `from plora.node.transport.grpc_setup import grpc`.
"""

from __future__ import annotations

import os

os.environ["GRPC_SSL_CIPHER_SUITES"] = "ECDHE-RSA-AES128-GCM-SHA256"
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

import grpc
import grpc.aio

EOF: object = grpc.aio.EOF  # type: ignore[attr-defined]  # missing in types-grpcio
"""What a stream's `read` gives at the end."""

__all__ = ["EOF", "grpc"]
