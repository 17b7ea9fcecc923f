"""What every test process needs before anything else is imported."""

import os

for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
    os.environ.pop(name, None)  # the hub of the tests is on loopback, and huggingface_hub reads these once

import plora.node.transport.grpc_setup  # noqa: E402, F401 - gRPC reads its TLS settings once, when first imported
