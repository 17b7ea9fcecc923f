"""A limit that was reached is told in the unit of its setting."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import get_args

import pytest

from plora.node.daemon.config import Block, LimitsBlock, Size, SubscribeBlock
from plora.proto.amounts import bound_text

BLOCKS: Mapping[str, type[Block]] = {"limits": LimitsBlock, "subscribe": SubscribeBlock}
VALIDATOR = get_args(Size)[1]
"""What makes `1MiB` a number: the settings that have it count bytes."""


def settings() -> Iterator[tuple[str, bool]]:
    """Each setting that is a number, and whether it counts bytes."""
    for block, model in BLOCKS.items():
        for name, field in model.model_fields.items():
            if field.annotation is int:
                yield f"{block}.{name}", VALIDATOR in field.metadata


@pytest.mark.parametrize(("setting", "bytes_"), list(settings()))
def test_what_counts_bytes_is_told_in_bytes_and_nothing_else_is(setting: str, bytes_: bool) -> None:
    told = bound_text(setting, 1024)
    assert told == (("1 KiB/s" if setting.endswith("_rate") else "1 KiB") if bytes_ else "1024")
