"""The hook against a server that keeps to vLLM's rules: what it loads, what it leaves alone, how it fails."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.node.serving.vllm_rules import VllmStandIn

from plora.merge.lora_config import LoraSpec, adapter_config_bytes
from plora.node.serving.hook import ServingHook, carry_out
from plora.node.serving.plan import Adapter, Load, Unload, plan
from plora.node.serving.vllm_api import VllmApi
from plora.proto.errors import TransportError
from plora.proto.records import Body

BASE = "/models/mini"


def adapter(root: Path, version: str, link: str = "", base: str = BASE, rank: int = 4) -> Adapter:
    folder = root / "views" / version
    folder.mkdir(parents=True, exist_ok=True)
    spec = LoraSpec(r=rank, alpha=8, target_modules=("q_proj",))
    (folder / "adapter_config.json").write_bytes(adapter_config_bytes(spec, base))
    return Adapter(str(folder), base, str(root / "adapters" / link) if link else "")


@pytest.fixture
def vllm() -> Iterator[VllmStandIn]:
    with VllmStandIn(BASE).running() as server:
        yield server


def test_a_server_gets_what_was_accepted_and_loses_what_was_not(vllm: VllmStandIn, tmp_path: Path) -> None:
    api, home = VllmApi(vllm.url), str(tmp_path)
    one, two = adapter(tmp_path, "1", "ada--legal"), adapter(tmp_path, "2", "ada--legal")
    other = adapter(tmp_path, "3", base="/models/other")
    done = carry_out(api, {"ada/legal": one, "bob/law": other}, home)
    assert [(change.name, change.change) for change in done.changes] == [("ada/legal", "loaded")] and not done.failed
    assert not carry_out(api, {"ada/legal": one}, home).changes
    done = carry_out(api, {"ada/legal": two}, home)
    assert [change.change for change in done.changes] == ["unloaded", "loaded"]
    assert vllm.adapters == {"ada/legal": two.path}
    vllm.adapters |= {"theirs": "/elsewhere", "ada--legal": two.link, "legal": two.path, "gone": f"{home}/views/0"}
    assert [change.name for change in carry_out(api, {"ada/legal": two}, home).changes] == ["gone"]
    carry_out(api, {}, home)
    assert vllm.adapters == {"theirs": "/elsewhere"}


def test_one_refused_adapter_keeps_no_other_back(vllm: VllmStandIn, tmp_path: Path) -> None:
    wanted = {"a/big": adapter(tmp_path, "1", rank=64), "b/small": adapter(tmp_path, "2")}
    done = carry_out(VllmApi(vllm.url), wanted, str(tmp_path))
    assert [change.name for change in done.changes] == ["b/small"]
    assert done.failed["a/big"].what == "a/big: answered 500: rank 64 is over 16"


def test_a_name_that_is_taken_is_left_alone(vllm: VllmStandIn, tmp_path: Path) -> None:
    vllm.adapters["ada/legal"] = "/elsewhere"
    assert not carry_out(VllmApi(vllm.url), {"ada/legal": adapter(tmp_path, "1")}, str(tmp_path)).changes


def test_a_server_of_another_base_is_said(vllm: VllmStandIn, tmp_path: Path) -> None:
    done = carry_out(VllmApi(vllm.url), {"a/b": adapter(tmp_path, "1", base="mini")}, str(tmp_path))
    met = done.failed[""]
    assert "it serves /models/mini" in met.what and met.mend == "map mini to it by base_paths in peer.yaml"


def test_what_is_wrong_is_said_in_words(tmp_path: Path) -> None:
    with VllmStandIn(BASE, key="sesame").running() as locked:
        with pytest.raises(TransportError, match=r"answered 401: Unauthorized; set serving\.vllm\.key_file"):
            VllmApi(locked.url).served()
        assert VllmApi(locked.url, "sesame").served().bases == (BASE,)
        with pytest.raises(TransportError, match=r"answered 404: 'x' cannot be found$"):
            VllmApi(locked.url, "sesame").unload("x")
        locked.runtime_updating = False
        with pytest.raises(TransportError, match=r"answered 404: Not Found; start vLLM with --enable-lora and VLLM_A"):
            VllmApi(locked.url, "sesame").load("x", "/x")
    with pytest.raises(TransportError, match="can't be reached"):
        VllmApi(locked.url).served()


async def test_the_hook_follows_retries_and_says_the_same_trouble_once(vllm: VllmStandIn, tmp_path: Path) -> None:
    wanted: dict[str, Adapter] = {}
    noted: list[Body] = []

    async def current() -> Mapping[str, Adapter]:
        return dict(wanted)

    hook = ServingHook(VllmApi(vllm.url), str(tmp_path), current, noted.append, check_ms=50)
    vllm.down = True
    hook.start()
    async with asyncio.timeout(20):
        await until(lambda: bool(noted))
        wanted["ada/legal"] = adapter(tmp_path, "1")
        hook.wake()
        assert len(hook.troubles) == 1 and "can't be reached" in hook.troubles[0]
        vllm.down = False
        await until(lambda: "ada/legal" in vllm.adapters)
        vllm.adapters.clear()  # it was restarted
        await until(lambda: "ada/legal" in vllm.adapters)
        await until(lambda: len(noted) == 3 and not hook.troubles)
        await hook.stop()
    assert [body.kind for body in noted] == ["error", "serving", "serving"]


async def until(look: object) -> None:
    while not look():  # type: ignore[operator]
        await asyncio.get_running_loop().run_in_executor(None, lambda: None)


NAMES = st.sampled_from(["a/x", "b/y", "merged/m", "alias"])
PLACES = st.sampled_from(["/h/views/1", "/h/views/2", "/h/merged/m/gen-1", "/other/1"])


@given(st.dictionaries(NAMES, PLACES), st.dictionaries(NAMES, st.tuples(PLACES, st.sampled_from(["m", "n"]))))
def test_after_a_plan_nothing_is_left_to_do(loaded: dict[str, str], named: dict[str, tuple[str, str]]) -> None:
    wanted = {name: Adapter(path, base) for name, (path, base) in named.items()}
    after = dict(loaded)
    for step in plan(wanted, loaded, bases=("m",), home="/h"):
        if isinstance(step, Unload):
            assert after.pop(step.name).startswith("/h/")
        else:
            assert isinstance(step, Load) and step.name not in after
            after[step.name] = step.path
    assert not list(plan(wanted, after, bases=("m",), home="/h"))
    current = {one.path for one in wanted.values() if one.base == "m"}
    assert all(path in current for path in after.values() if path.startswith("/h/"))
