"""Names of bases; what is known of one without torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from plora.base import DEFAULT_BASE, BaseSpec, base_info, find_base, resolve_base
from plora.base.registry import MINI_FOLDER, PINNED_REVISIONS
from plora.proto.errors import BaseModelError

# The committed bytes of `mini`. Two hosts must have the same base: this changes only when mini is made anew.
MINI_DIGEST = "sha256:303c83dd7de43df4d473214a1708ddea25075b4fd939654ead6855479e7b2a1d"


def test_mini_is_pinned_and_small() -> None:
    info = base_info("mini", {})
    assert (info.name, info.digest, info.folder) == ("mini", MINI_DIGEST, MINI_FOLDER)
    assert sum(path.stat().st_size for path in MINI_FOLDER.iterdir()) < 4_500_000
    assert len(info.modules) == 4 * 7
    assert info.modules["model.layers.3.self_attn.k_proj"] == (40, 160)
    assert info.modules["model.layers.0.mlp.down_proj"] == (160, 480)


def test_the_name_comes_from_argument_then_environment_then_default() -> None:
    environ = {"PLORA_BASE_MODEL": "mini"}
    assert resolve_base(None, environ).name == "mini"
    assert resolve_base("a/b", environ).name == "a/b"
    assert resolve_base(None, {}) == BaseSpec(DEFAULT_BASE, "hub", None, PINNED_REVISIONS[DEFAULT_BASE])
    assert resolve_base("a/b", {}).revision == "main"


def test_a_folder_with_a_config_is_that_folder(tmp_path: Path) -> None:
    with pytest.raises(BaseModelError, match="no config"):
        resolve_base(str(tmp_path), {})
    (tmp_path / "config.json").write_text("{}")
    assert resolve_base(str(tmp_path), {}) == BaseSpec(str(tmp_path), "folder", tmp_path)


@pytest.mark.parametrize(
    ("name", "mend"),
    [
        ("smolm2", "did you mean 'smollm2'"),
        ("Mini", "did you mean 'mini'"),
        ("a/b/c", "use mini"),
        ("../x", "use mini"),
    ],
)
def test_unknown_names_are_refused_with_the_nearest(name: str, mend: str) -> None:
    with pytest.raises(BaseModelError) as caught:
        resolve_base(name, {})
    assert mend in caught.value.mend


def test_smollm2_lies_in_the_cache_and_says_how_to_get_it(tmp_path: Path) -> None:
    environ = {"XDG_CACHE_HOME": str(tmp_path)}
    spec = resolve_base("smollm2", environ)
    assert spec.folder == tmp_path / "plora" / "bases" / "smollm2-135m-instruct"
    with pytest.raises(BaseModelError) as caught:
        find_base(spec, environ)
    assert "make smollm2" in caught.value.mend


@pytest.mark.parametrize("variable", ["HF_HUB_CACHE", "HF_HOME", "HOME"])
def test_a_hub_base_is_found_where_the_hub_keeps_it(tmp_path: Path, variable: str) -> None:
    below = {"HF_HUB_CACHE": "", "HF_HOME": "hub", "HOME": ".cache/huggingface/hub"}[variable]
    model = tmp_path / below / "models--a--b"
    environ = {variable: str(tmp_path)}
    with pytest.raises(BaseModelError) as caught:
        find_base(resolve_base("a/b", environ), environ)
    assert caught.value.mend == "hf download a/b --revision main"
    for commit in ("c0ffee", "decade"):
        (model / "snapshots" / commit).mkdir(parents=True)
        (model / "snapshots" / commit / "config.json").write_text("{}")
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text("decade\n")
    assert find_base(resolve_base("a/b", environ), environ).name == "decade"
    assert find_base(resolve_base("a/b@c0ffee", environ), environ).name == "c0ffee"


def test_base_info_needs_no_torch() -> None:
    code = "import sys, plora.base as b; b.base_info('mini'); sys.exit('torch' in sys.modules or 'peft' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


class TestCommand:
    """`python -m plora.base NAME`."""

    def test_says_which_base_it_is(self, capfd: pytest.CaptureFixture[str]) -> None:
        from plora.base.__main__ import main

        assert main(["mini"]) == 0
        assert MINI_DIGEST in capfd.readouterr().out

    def test_one_line_on_stderr_when_it_fails(self, capfd: pytest.CaptureFixture[str]) -> None:
        from plora.base.__main__ import main

        assert main(["mimi"]) == 1
        assert capfd.readouterr() == ("", "plora: mimi: no such base model; did you mean 'mini'?\n")
