"""The three domains: fixed, disjoint, unambiguous, right."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from collections.abc import Callable
from itertools import combinations

import pytest

from plora.lab.corpora import ANSWER_CHARS_MAX, DOMAINS, Split, load_domain, samples_cap, split_of
from plora.proto.errors import UsageError

SPLITS: tuple[Split, ...] = ("train", "validation", "test")


@pytest.mark.parametrize("name", sorted(DOMAINS))
class TestEveryDomain:
    def test_has_enough_of_each_split(self, name: str) -> None:
        sizes = {split: len(load_domain(name, split, environ={})) for split in SPLITS}
        assert sizes["train"] > 4000
        assert min(sizes.values()) > 400

    def test_no_question_is_in_two_splits_or_twice(self, name: str) -> None:
        asked = {split: [pair.question for pair in load_domain(name, split, environ={})] for split in SPLITS}
        for one, other in combinations(SPLITS, 2):
            assert not set(asked[one]) & set(asked[other])
        for questions in asked.values():
            assert len(questions) == len(set(questions))

    def test_pairs_are_clean(self, name: str) -> None:
        for pair in load_domain(name, "train", environ={}):
            assert pair.domain == name
            assert 0 < len(pair.answer) <= ANSWER_CHARS_MAX
            assert pair.question == " ".join(pair.question.split())

    def test_limit_and_cap_take_from_the_front(self, name: str) -> None:
        whole = load_domain(name, "test", environ={})
        assert load_domain(name, "test", 5, environ={}) == whole[:5]
        assert load_domain(name, "test", environ={"PLORA_SAMPLES": "3"}) == whole[:3]
        assert load_domain(name, "test", 2, environ={"PLORA_SAMPLES": "3"}) == whole[:2]

    def test_the_front_is_mixed(self, name: str) -> None:
        kinds = {pair.question.split()[0] for pair in load_domain(name, "train", 200, environ={})}
        assert len(kinds) >= 2


def test_another_process_sees_the_same() -> None:
    code = (
        "from plora.lab.corpora import *; import hashlib; "
        "print(hashlib.sha256(repr([load_domain(d, 'train') for d in DOMAINS]).encode()).hexdigest())"
    )
    environ = {"PYTHONHASHSEED": "7", "PATH": ""}
    there = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True)
    here = hashlib.sha256(repr([load_domain(d, "train", environ={}) for d in DOMAINS]).encode()).hexdigest()
    assert there.stdout.strip() == here


def test_arithmetic_is_right() -> None:
    for pair in load_domain("arithmetic", "train", environ={}):
        numbers = [int(n) for n in re.findall(r"\d+", pair.question)]
        kind = pair.source.removeprefix("generated: ")
        rules: dict[str, Callable[..., int]] = {
            "sum": lambda a, b: a + b,
            "difference": lambda a, b: a - b,
            "product": lambda a, b: a * b,
            "quotient": lambda a, b: a // b,
            "three": lambda a, b, c: a + b - c,
        }
        assert pair.answer == str(rules[kind](*numbers))


def test_known_facts_are_there() -> None:
    facts = {p.question: p.answer for d in DOMAINS for s in SPLITS for p in load_domain(d, s, environ={})}
    assert facts["What does the ICD-10-CM code J06 stand for?"].startswith("Acute upper respiratory infections")
    assert facts['Which law reporter is cited as "Ga."?'] == "Georgia Reports"
    assert facts["Where does the Supreme Court of Kansas sit?"] == "Kansas"


def test_the_split_follows_the_documented_byte() -> None:
    counts = dict.fromkeys(SPLITS, 0)
    for i in range(4000):
        question = f"question {i}"
        first = hashlib.sha256(question.encode()).digest()[0]
        assert split_of(question) == ("test" if first < 26 else "validation" if first < 52 else "train")
        counts[split_of(question)] += 1
    assert 0.76 < counts["train"] / 4000 < 0.84


@pytest.mark.parametrize("text", ["0", "-3", "many", "1.5"])
def test_a_senseless_cap_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="positive whole number"):
        samples_cap({"PLORA_SAMPLES": text})


def test_unknown_names_are_refused() -> None:
    with pytest.raises(UsageError, match="unknown domain") as caught:
        load_domain("cooking", "train", environ={})
    assert "legal" in caught.value.mend
    with pytest.raises(UsageError, match="unknown split"):
        load_domain("legal", "dev", environ={})  # type: ignore[arg-type]
