"""What every test process needs before anything else is imported."""

import os

import threadpoolctl

for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
    os.environ.pop(name, None)  # the hub of the tests is on loopback, and huggingface_hub reads these once
# Threads of BLAS spin while they wait: beside other processes on the same cores they took ten times what they were for.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")
threadpoolctl.threadpool_limits(1, user_api="blas")  # a plugin has loaded numpy already

import plora.node.transport.grpc_setup  # noqa: E402, F401 - gRPC reads its TLS settings once, when first imported
