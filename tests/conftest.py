"""What every test process needs before anything else is imported, and the order in which workers share the tests."""

import gc
import os
from collections.abc import Generator

import pytest
import threadpoolctl

gc.disable()  # what collection imports stays: to look through it again and again took a sixth of it
for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
    os.environ.pop(name, None)  # the hub of the tests is on loopback, and huggingface_hub reads these once
# What is compiled is kept: hundreds of processes import the same, and so does every worker.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# Threads of BLAS spin while they wait: beside other processes on the same cores they took ten times what they were for.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")
threadpoolctl.threadpool_limits(1, user_api="blas")  # a plugin has loaded numpy already

import plora.node.transport.grpc_setup  # noqa: E402, F401 - gRPC reads its TLS settings once, when first imported

WORKER, WORKERS = (os.environ.get(f"PYTEST_XDIST_WORKER{end}", "") for end in ("", "_COUNT"))
REAL = {"browser", "hosts", "make_daemon", "make_peer"}
"""Fixtures of real processes, whose tests wait more than they compute."""


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Each worker begins to collect elsewhere: it finds compiled what others came to first."""
    report = yield
    if WORKER and isinstance(collector, pytest.Directory):
        first = len(report.result) * int(WORKER.removeprefix("gw")) // int(WORKERS)
        report.result = report.result[first:] + report.result[:first]
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Generator[None]:
    """Modules with real processes come first: under `--dist worksteal` one worker has them, and the others compute."""
    if WORKER:
        items.sort(key=lambda item: item.nodeid)  # all workers begin to shuffle from one order
    yield
    waiting = {item.path for item in items if not REAL.isdisjoint(getattr(item, "fixturenames", ()))}
    items.sort(key=lambda item: item.path not in waiting)


def pytest_collection_finish() -> None:
    """Garbage is looked for again, but not among what was imported."""
    gc.freeze()
    gc.enable()
