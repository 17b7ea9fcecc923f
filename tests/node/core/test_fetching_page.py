"""docs/fetching.md quotes what people read when a limit holds something back, and names every limit."""

from __future__ import annotations

from pathlib import Path

import pytest

from plora.node.core.config import Limits
from plora.node.core.limit_sentences import SETTINGS, limit_sentence
from plora.node.daemon.config import SubscribeBlock

PAGE = (Path(__file__).resolve().parents[3] / "docs/fetching.md").read_text()
MIB = 1 << 20
EXAMPLES: dict[str, tuple[int | str, int]] = {
    "limits.artifact_max": (256 * MIB, 300 * MIB),
    "limits.store_max": (20 << 30, 25 * MIB),
    "limits.disk_free_min": (1 << 30, 25 * MIB),
    "policy.artifact_bytes_max": (256 * MIB, 300 * MIB),
    "subscribe.size_max": (64 * MIB, 300 * MIB),
    "subscribe.mode": ("ask", 25 * MIB),
    "subscribe.bases": ("mini", 25 * MIB),
    "subscribe.domains": ("legal, medical", 25 * MIB),
    "subscribe.owners": ("ada", 25 * MIB),
    "removed": ("", 25 * MIB),
}


@pytest.mark.parametrize("setting", SETTINGS)
def test_the_page_quotes_the_sentence(setting: str) -> None:
    assert f"    {limit_sentence(setting, *EXAMPLES[setting])}\n" in PAGE


@pytest.mark.parametrize("name", [*Limits.__dataclass_fields__, "events_max"])
def test_the_page_names_the_limit(name: str) -> None:
    assert f"`limits.{name}`" in PAGE


@pytest.mark.parametrize("name", sorted(SubscribeBlock.model_fields))
def test_the_page_names_the_subscription(name: str) -> None:
    assert f"{name}:" in PAGE
