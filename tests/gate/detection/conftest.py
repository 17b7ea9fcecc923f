"""The sketch of `mini`, made once."""

from __future__ import annotations

import pytest

from plora.base import base_info
from plora.gate.detection.sketch import BaseSketch, make_sketch


@pytest.fixture(scope="session")
def sketch() -> BaseSketch:
    info = base_info("mini")
    return make_sketch(info.folder, info.digest)
