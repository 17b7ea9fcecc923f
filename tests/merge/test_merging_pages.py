"""docs/merging-plan.md and docs/merging-api.md run as they stand."""

from __future__ import annotations

import doctest
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from plora.merge.engine import merge_sources
from plora.merge.peft_folder import Adapter, read_adapter, write_adapter
from plora.merge.plan_file import parse_plan
from plora.proto.errors import ConfigError

DOCS = Path(__file__).resolve().parents[2] / "docs"
BLOCKS = re.findall(r"^```(yaml(?: refused)?|text)\n(.*?)^```", (DOCS / "merging-plan.md").read_text(), re.M | re.S)
PLANS = [text for kind, text in BLOCKS if kind == "yaml"]
REFUSED = [(text, BLOCKS[place + 1][1]) for place, (kind, text) in enumerate(BLOCKS) if kind == "yaml refused"]
MODULES = tuple(f"model.layers.{n}.{name}" for n in range(4) for name in ("self_attn.q_proj", "mlp.down_proj"))


@pytest.mark.parametrize("text", PLANS)
def test_plans_of_the_page_merge(make_adapter: Callable[..., Adapter], tmp_path: Path, text: str) -> None:
    for seed, name in enumerate(("legal", "medical")):
        write_adapter(tmp_path / "out" / name, make_adapter(seed, modules=MODULES, targets=("q_proj", "down_proj")))
    file = parse_plan(text.encode(), tmp_path / "plan.yaml")
    result = merge_sources([read_adapter(folder) for folder in file.models], file.plan_for(MODULES))
    assert sorted(result.adapter.pairs) == sorted(MODULES)


@pytest.mark.parametrize(("text", "says"), REFUSED)
def test_what_the_page_calls_refused_is_refused(text: str, says: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_plan(text.encode(), Path("plan.yaml"))
    assert str(refused.value) == says.strip()


def test_the_page_has_examples() -> None:
    assert len(PLANS) >= 3 and REFUSED


def test_the_python_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = doctest.testfile(str(DOCS / "merging-api.md"), module_relative=False)
    assert done.attempted > 15 and done.failed == 0
