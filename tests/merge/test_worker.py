"""The worker: one line in, one line out, in a real process and in this one."""

import hashlib
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.merge.conftest import MODULES, TARGETS

from plora.merge import FactorPair, LoraSpec, merge_folders, plan_of, read_adapter, write_adapter
from plora.merge.peft_folder import TENSORS_NAME, Adapter
from plora.merge.provenance import METADATA_KEY, Leaf, Provenance, read_provenance
from plora.merge.safetensors_io import read_tensors, write_tensors
from plora.merge.worker import INPUTS_MAX, REQUEST_BYTES_MAX, serve

Make = Callable[..., Adapter]


@pytest.fixture
def request_of(make_adapter: Make, tmp_path: Path, out: Path) -> dict[str, Any]:
    inputs = []
    for seed in range(3):
        folder = tmp_path / f"in-{seed}"
        write_adapter(folder, make_adapter(seed))
        digest = hashlib.sha256((folder / TENSORS_NAME).read_bytes()).hexdigest()
        inputs.append({"folder": str(folder), "digest": digest})
    return {"inputs": inputs, "out": str(out), "base_model_name": "mini"}


def ask(line: bytes | dict[str, Any]) -> tuple[int, dict[str, Any]]:
    sink = io.BytesIO()
    raw = line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n"
    code = serve(io.BytesIO(raw), sink)
    assert sink.getvalue().count(b"\n") == 1
    reply: dict[str, Any] = json.loads(sink.getvalue())
    return code, reply


def test_a_process_merges(request_of: dict[str, Any], tmp_path: Path, out: Path) -> None:
    line = json.dumps({**request_of, "rank_max": 5}).encode() + b"\n"
    command = [sys.executable, "-m", "plora.merge.worker"]
    done = subprocess.run(command, input=line, capture_output=True, env={"OMP_NUM_THREADS": "1"}, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    report = json.loads(done.stdout)["report"]
    assert report["rank"] == 5 and read_adapter(out).spec.r == 5
    folders = [Path(item["folder"]) for item in request_of["inputs"]]
    merge_folders(folders, tmp_path / "here", plan_of(rank_max=5))
    assert (tmp_path / "here" / TENSORS_NAME).read_bytes() == (out / TENSORS_NAME).read_bytes()


def test_a_merge_of_other_inputs_is_left_out(request_of: dict[str, Any], tmp_path: Path, out: Path) -> None:
    first, second, third = request_of["inputs"]
    merge = merge_of(first, second, tmp_path / "ab", 1e6)
    ask({**request_of, "out": str(tmp_path / "without")})
    code, reply = ask({**request_of, "inputs": [merge, first, second, third]})
    assert code == 0 and {operand["weight"] for operand in reply["report"]["operands"]} == {1 / 3}
    assert (tmp_path / "without" / TENSORS_NAME).read_bytes() == (out / TENSORS_NAME).read_bytes()
    weighed = [{**each, "weight": weight} for each, weight in zip((merge, first, second), (9.0, 1.0, 2.0), strict=True)]
    code, reply = ask({**request_of, "inputs": weighed})
    assert code == 0 and sorted(operand["weight"] for operand in reply["report"]["operands"]) == [1.0, 2.0]


def test_a_merge_of_what_is_not_there_is_an_adapter(request_of: dict[str, Any], tmp_path: Path, out: Path) -> None:
    first, second, third = request_of["inputs"]
    merge = merge_of(first, second, tmp_path / "ab", 2.0)
    code, reply = ask({**request_of, "inputs": [merge, first, third]})
    assert code == 0 and {operand["weight"] for operand in reply["report"]["operands"]} == {1 / 3}
    made = read_provenance(out)
    assert made is not None and sorted(leaf.opaque for leaf in made.leaves) == [False, False, True]


def test_merges_that_name_each_other_stay(request_of: dict[str, Any], tmp_path: Path) -> None:
    """If they could take each other out, nothing would be left to merge."""
    first, second, _ = request_of["inputs"]
    for item, other in ((first, second), (second, first)):
        claims = Provenance({}, (Leaf(read_adapter(Path(other["folder"])).digest, 1.0),))
        claim(item, claims.text())
    code, reply = ask({**request_of, "inputs": [first, second]})
    assert code == 0 and len(reply["report"]["operands"]) == 2


def test_a_claim_that_can_not_be_read_stops_no_merge(request_of: dict[str, Any], out: Path) -> None:
    claim(request_of["inputs"][0], "no JSON")
    code, reply = ask(request_of)
    assert code == 0 and len(reply["report"]["operands"]) == 3
    made = read_provenance(out)
    assert made is not None and sorted(leaf.opaque for leaf in made.leaves) == [False, False, True]


def claim(item: dict[str, Any], text: str) -> None:
    """Let an input say of itself what it was made of."""
    file = Path(item["folder"]) / TENSORS_NAME
    tensors = {name: np.array(tensor) for name, tensor in read_tensors(file).items()}
    write_tensors(file, tensors, {METADATA_KEY: text})
    item["digest"] = hashlib.sha256(file.read_bytes()).hexdigest()


def merge_of(one: dict[str, Any], two: dict[str, Any], folder: Path, weight: float) -> dict[str, Any]:
    merge_folders([Path(one["folder"]), Path(two["folder"])], folder, plan_of(weights=[weight, 1.0]))
    return {"folder": str(folder), "digest": hashlib.sha256((folder / TENSORS_NAME).read_bytes()).hexdigest()}


def test_callers_names_come_back(request_of: dict[str, Any]) -> None:
    code, reply = ask(request_of)
    assert code == 0
    assert [item["digest"] for item in reply["report"]["inputs"]] == [item["digest"] for item in request_of["inputs"]]
    operands = {item["operand"] for item in reply["report"]["inputs"]}
    assert operands == {operand["digest"] for operand in reply["report"]["operands"]}


def test_weights_strategy_and_trust_region_are_used(request_of: dict[str, Any]) -> None:
    for item, weight in zip(request_of["inputs"], [0, 2, 0.5], strict=True):
        item["weight"] = weight
    _, reply = ask({**request_of, "strategy": "sequential", "max_delta_fro": 1.0})
    report = reply["report"]
    assert report["strategy"] == "sequential"
    assert [operand["weight"] for operand in report["operands"]] == [2.0, 0.5]
    assert all(module["norm"] <= 1.0 + 1e-6 for module in report["modules"])


def test_a_bad_input_is_an_error_line_that_names_the_file(request_of: dict[str, Any], out: Path) -> None:
    request_of["inputs"][1]["folder"] += "-gone"
    code, reply = ask(request_of)
    assert code == 1 and reply["error"]["kind"] == "AdapterError" and "in-1-gone" in reply["error"]["where"]
    assert not out.exists()


@pytest.mark.parametrize("at", [0, 40, -1])
def test_bytes_that_changed_since_they_were_examined_are_named_and_not_merged(
    request_of: dict[str, Any], out: Path, at: int
) -> None:
    """Position 0 breaks the header's length, 40 its text, -1 only a number: the file may still read well."""
    spoilt = request_of["inputs"][1]
    path = Path(spoilt["folder"]) / TENSORS_NAME
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
    code, reply = ask(request_of)
    assert (code, reply["error"]["kind"], reply["error"]["where"]) == (1, "SpoiltBytesError", spoilt["digest"])
    assert not out.exists()


def test_a_place_that_can_not_be_written_is_an_error_line(request_of: dict[str, Any], out: Path) -> None:
    out.write_text("in the way")
    code, reply = ask(request_of)
    assert code == 1 and reply["error"]["kind"] == "FileExistsError"


@pytest.mark.parametrize(
    "line", [b"", b"\n", b"[]\n", b"{}\n", b"\xff\n", b"{" * 100_000, b"x" * (REQUEST_BYTES_MAX + 1)]
)
def test_what_is_no_request(line: bytes) -> None:
    code, reply = ask(line)
    assert code == 1 and reply["error"]["kind"] == "UsageError"


@pytest.mark.parametrize(
    "changes",
    [
        {"unknown": 1},
        {"inputs": []},
        {"inputs": {}},
        {"inputs": [{"folder": "x"}]},
        {"inputs": [{"folder": "x", "digest": "y", "weight": True}]},
        {"inputs": [{"folder": "x", "digest": "y", "came": 1.5}]},
        {"inputs": [{"folder": "x", "digest": "y", "weight": "1"}]},
        {"inputs": [{"folder": 1, "digest": "y"}]},
        {"inputs": [{"folder": "x", "digest": "y", "weight": 1}, {"folder": "x", "digest": "y"}]},
        {"inputs": [{"folder": "x", "digest": "y"}] * (INPUTS_MAX + 1)},
        {"rank_max": "16"},
        {"rank_max": True},
        {"max_delta_fro": "1"},
        {"strategy": 1},
        {"out": None},
        {"base_model_name": None},
    ],
)
def test_requests_of_the_wrong_shape(request_of: dict[str, Any], changes: dict[str, Any]) -> None:
    code, reply = ask({**request_of, **changes})
    assert code == 1 and reply["error"]["kind"] == "UsageError"


def test_one_of_another_layout_is_left_out_and_said_to_be(
    request_of: dict[str, Any], make_adapter: Make, tmp_path: Path, out: Path
) -> None:
    _, whole = ask(request_of)
    expected = (out / TENSORS_NAME).read_bytes()
    pairs = {MODULES[0]: FactorPair(np.ones((1, 5), np.float32), np.ones((7, 1), np.float32))}
    odd = tmp_path / "odd"
    write_adapter(odd, Adapter.of(pairs, LoraSpec(r=1, alpha=1, target_modules=TARGETS)))
    digest = hashlib.sha256((odd / TENSORS_NAME).read_bytes()).hexdigest()
    code, reply = ask(request_of | {"inputs": [{"folder": str(odd), "digest": digest}, *request_of["inputs"]]})
    assert (code, (out / TENSORS_NAME).read_bytes()) == (0, expected)
    ((culprit, reason),) = [(each["digest"], each["reason"]) for each in reply["report"]["left_out"]]
    assert culprit == digest and "different shapes" in reason
    assert whole["report"]["left_out"] == []


def test_a_copy_with_other_values_names_the_input_that_counts(request_of: dict[str, Any], tmp_path: Path) -> None:
    """The first that came counts, wherever it was given."""
    first, second, third = request_of["inputs"]
    mostly = merge_of(first, second, tmp_path / "ab", 1e6)
    inputs = [{**each, "came": came} for each, came in ((first, 9), (third, 3), (mostly, 4))]
    code, reply = ask({**request_of, "inputs": inputs})
    assert code == 0
    copy, other, counting = reply["report"]["inputs"]
    assert len(reply["report"]["operands"]) == 2
    assert copy["copy_of"] == mostly["digest"] and copy["operand"] == counting["operand"]
    assert "copy_of" not in other and "copy_of" not in counting


def test_what_was_kept_is_used_and_named(request_of: dict[str, Any], tmp_path: Path, out: Path) -> None:
    old, fresh = tmp_path / "old", tmp_path / "fresh"
    kept = {"folder": str(old), "fresh": str(fresh), "bytes_max": 1 << 20, "seed": 7}
    two = {**request_of, "inputs": request_of["inputs"][:2], "out": str(tmp_path / "two")}
    _, reply = ask({**two, "kept": {**kept, "fresh": str(old)}})
    assert reply["report"]["reused"] == 0.0
    assert reply["report"]["kept"] == sorted(path.name for path in old.iterdir())
    _, reply = ask({**request_of, "kept": kept})
    assert reply["report"]["reused"] == 3 / 6
    (new,) = fresh.iterdir()
    assert reply["report"]["kept"] == sorted([new.name, *(path.name for path in old.iterdir())])
    _, without = ask({**request_of, "out": str(tmp_path / "without")})
    assert not {"kept", "reused", "damaged"} & without["report"].keys()
    assert (tmp_path / "without" / TENSORS_NAME).read_bytes() == (out / TENSORS_NAME).read_bytes()


@pytest.mark.parametrize("kept", [None, {}, {"folder": "a", "fresh": "b", "bytes_max": True, "seed": 1}])
def test_a_request_that_says_nonsense_of_kept_blocks_is_refused(request_of: dict[str, Any], kept: object) -> None:
    code, reply = ask({**request_of, "kept": kept})
    assert code == 1 and reply["error"]["kind"] == "UsageError" and "kept" in reply["error"]["what"]
