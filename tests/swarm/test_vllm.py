"""A real vLLM on CPU beside a real peer: what it computes with accepted adapters, and how it gets to them.

`make test-vllm` runs this in an environment of vLLM's own. The answers expected are those of transformers and PEFT.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.merge.test_gguf_adapter import SPECS, random_adapter
from tests.node.serving.vllm_rules import refusal
from tests.ports import free_port
from tests.swarm.conftest import MakePeer, Peer
from tests.swarm.test_export import all_merged, publish
from tests.swarm.test_serving import revoke

from plora.base.registry import smollm2_folder
from plora.node.serving.vllm_api import VllmApi
from plora.proto.errors import TransportError
from plora.v1 import admin_pb2 as pb

PYTHON = Path(os.environ.get("PLORA_VLLM_PYTHON", ".venv-vllm/bin/python"))
BASE = smollm2_folder({"HOME": str(Path.home())})
PROMPT = [504, 3575, 282, 260, 1343, 314]
STEPS, TOP, TOLERANCE = 8, 5, 1e-3
START_S = 900.0  # on a machine that others share; 22 s on one of one's own
LEAVE_S, ANSWER_S, FOLLOW_S = 60.0, 600.0, 300.0

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.timeout(1800),
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
    pytest.mark.skipif(not PYTHON.exists(), reason="no vLLM here: make test-vllm"),
    pytest.mark.skipif(not (BASE / "config.json").is_file(), reason="no smollm2 here: make smollm2"),
]

Steps = list[tuple[int, dict[int, float]]]
"""For each step the token that was chosen, and log-probabilities of the likeliest tokens."""


@dataclass
class Vllm:
    """A running server, and the home that its resolvers ask."""

    url: str
    home: Path
    process: subprocess.Popen[bytes]
    log: Path

    def post(self, path: str, document: object) -> Any:
        request = urllib.request.Request(
            self.url + path, json.dumps(document).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=ANSWER_S) as reply:
            return json.load(reply)

    def answers(self, model: str) -> Steps:
        request = {
            "model": model, "prompt": PROMPT, "max_tokens": STEPS, "temperature": 0, "ignore_eos": True,
            "logprobs": TOP, "return_tokens_as_token_ids": True,
        }  # fmt: skip
        said = self.post("/v1/completions", request)["choices"][0]["logprobs"]
        chosen = [_token(name) for name in said["tokens"]]
        tops = [{_token(name): value for name, value in step.items()} for step in said["top_logprobs"]]
        return list(zip(chosen, tops, strict=True))

    @property
    def adapters(self) -> dict[str, str]:
        return VllmApi(self.url).served().adapters


def _token(name: str) -> int:
    return int(name.removeprefix("token_id:"))


@pytest.fixture(scope="module")
def vllm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vllm]:
    home = tmp_path_factory.mktemp("h") / "ada"
    (home / "adapters").mkdir(parents=True)
    url, log = f"http://127.0.0.1:{free_port()}", home.with_suffix(".vllm.log")
    command = [
        str(PYTHON), "-m", "vllm.entrypoints.openai.api_server", "--model", str(BASE), "--dtype", "float32",
        "--enable-lora", "--max-lora-rank", "16", "--max-loras", "4", "--enforce-eager", "--max-model-len", "256",
        "--host", "127.0.0.1", "--port", url.rpartition(":")[2],
    ]  # fmt: skip
    settings = {
        "PLORA_HOME": str(home), "VLLM_LORA_RESOLVER_CACHE_DIR": str(home / "adapters"),
        "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True", "VLLM_CPU_KVCACHE_SPACE": "1", "OMP_NUM_THREADS": "1",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind", "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1",
    }  # fmt: skip
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, stdout=out, stderr=subprocess.STDOUT, env={**os.environ, **settings}, start_new_session=True
        )
    server = Vllm(url, home, process, log)
    try:
        _wait_until_up(server)
        (home / "adapters").rmdir()
        yield server
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """As a person ends it; what doesn't go is killed with all that it started, for it would compute on."""
    process.terminate()
    try:
        process.wait(LEAVE_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait_until_up(server: Vllm) -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        try:
            VllmApi(server.url).served()
            return
        except TransportError:
            pass
        try:
            server.process.wait(1)
        except subprocess.TimeoutExpired:
            continue
        break
    pytest.fail(server.log.read_text()[-3000:])


class Peft:
    """Transformers and PEFT on the same base."""

    def __init__(self) -> None:
        import torch
        from transformers import AutoModelForCausalLM

        self.torch: Any = torch
        self.base = AutoModelForCausalLM.from_pretrained(BASE, dtype=torch.float32, local_files_only=True)

    def answers(self, folder: Path) -> Steps:
        from peft import PeftModel

        torch, tokens, steps = self.torch, list(PROMPT), []
        model = PeftModel.from_pretrained(self.base, folder)
        with torch.no_grad():
            for _ in range(STEPS):
                values = torch.log_softmax(model(torch.tensor([tokens])).logits[0, -1], -1)
                top = values.topk(TOP)
                steps.append((int(values.argmax()), dict(zip(top.indices.tolist(), top.values.tolist(), strict=True))))
                tokens.append(steps[-1][0])
        self.base = model.unload()
        return steps


@pytest.fixture(scope="module")
def peft() -> Peft:
    return Peft()


def difference(one: Steps, other: Steps) -> float:
    """The largest difference of log-probabilities; the chosen tokens must be the same."""
    assert [token for token, _ in one] == [token for token, _ in other]
    steps = zip((top for _, top in one), (top for _, top in other), strict=True)
    return max(abs(ours[token] - theirs[token]) for ours, theirs in steps for token in theirs if token in ours)


def located(peer: Peer, name: str) -> Path:
    reply = peer.until(lambda: peer.call("Locate", pb.LocateRequest(name=name)))
    return Path(reply.target)


def test_a_running_vllm_serves_what_is_accepted(vllm: Vllm, peft: Peft, make_peer: MakePeer, tmp_path: Path) -> None:
    ada = make_peer("ada", root=vllm.home)
    ada.settings["base_paths"] = {"smollm2": str(BASE)}
    ada.start()
    for seed, (name, spec) in enumerate(SPECS.items()):
        publish(ada, random_adapter(BASE, tmp_path / name, spec, seed, 0.02), name, "smollm2")
    ada.until(lambda: all_merged(ada, 3), FOLLOW_S)

    # Through the resolver that asks the peer, and through vLLM's own for folders; vLLM was started before any of this.
    worst = 0.0
    for model, folder in (("ada/plain", "plain"), ("ada/rslora", "rslora"), ("ada--patterns", "ada/patterns")):
        target = located(ada, folder)
        worst = max(worst, difference(vllm.answers(model), peft.answers(target)))
    for model in ("merged", "merged--smollm2"):
        worst = max(worst, difference(vllm.answers(model), peft.answers(located(ada, "merged"))))
    assert worst < TOLERANCE
    assert vllm.adapters["ada/plain"] == str(located(ada, "plain"))

    # From now on the peer keeps the server's adapters up to date by REST.
    ada.stop()
    ada.settings["serving"] = {"vllm": {"url": vllm.url, "check_ms": 500}}
    ada.start()
    ada.until(lambda: {"ada/patterns", "merged/smollm2"} <= vllm.adapters.keys(), FOLLOW_S)
    before = vllm.answers("ada/plain")
    newer = random_adapter(BASE, tmp_path / "newer", SPECS["plain"], 9, 0.02)
    publish(ada, newer, "plain", "smollm2", version=2)
    ada.until(lambda: ada.call("Show", pb.ShowRequest(name="plain")).plasmid.folder, FOLLOW_S)
    ada.until(lambda: vllm.adapters.get("ada/plain") == str(located(ada, "plain")), FOLLOW_S)
    after = vllm.answers("ada/plain")
    worst = max(worst, difference(after, peft.answers(newer)))
    assert worst < TOLERANCE and after != before
    revoke(ada, "rslora")
    ada.until(lambda: "ada/rslora" not in vllm.adapters, FOLLOW_S)
    with pytest.raises(urllib.error.HTTPError, match="404"):
        vllm.answers("ada/rslora")
    print(f"largest difference of log-probabilities: {worst:.1e}")  # noqa: T201 - for docs/results.md


CHANGES: dict[str, dict[str, Any]] = {
    "as it is": {},
    "a higher rank": {"r": 17},
    "a higher rank in a pattern": {"rank_pattern": {"q_proj": 32}},
    "dora": {"use_dora": True},
    "bias": {"bias": "all"},
    "lora_bias": {"lora_bias": True},
    "pissa": {"init_lora_weights": "pissa"},
    "gaussian": {"init_lora_weights": "gaussian"},
    "modules to save": {"modules_to_save": ["lm_head"]},
    "replicated layers": {"layer_replication": [[0, 2]]},
    "no rank": {"r": None},
}


@pytest.mark.parametrize("change", CHANGES)
def test_our_table_of_vllms_rules_is_vllms(change: str, vllm: Vllm, tmp_path: Path) -> None:
    folder = random_adapter(BASE, tmp_path / "a", SPECS["plain"], 1, 0.02)
    config = json.loads((folder / "adapter_config.json").read_text()) | CHANGES[change]
    config = {key: value for key, value in config.items() if key != "r" or value}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    api, name = VllmApi(vllm.url), f"rules/{change}"
    try:
        api.load(name, str(folder))
        api.unload(name)
        said = ""
    except TransportError as error:
        said = str(error)
    assert bool(said) == bool(refusal(folder)), said


def test_names_are_taken_once_and_given_back_once(vllm: Vllm, tmp_path: Path) -> None:
    api, folder = VllmApi(vllm.url), random_adapter(BASE, tmp_path / "a", SPECS["plain"], 1, 0.02)
    api.load("twice", str(folder))
    with pytest.raises(TransportError, match="answered 400"):
        api.load("twice", str(folder))
    api.unload("twice")
    with pytest.raises(TransportError, match="answered 404"):
        api.unload("twice")
    with pytest.raises(TransportError, match="answered 404"):
        api.load("nowhere", str(tmp_path / "nowhere"))
