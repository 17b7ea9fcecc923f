"""What every test process needs before anything else is imported."""

import plora.node.transport.grpc_setup  # noqa: F401 - gRPC reads its TLS settings once, when it is first imported
