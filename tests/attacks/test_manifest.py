"""Attacks on the manifest: as a plora.yml, off the wire, and by PEFT's configuration beside it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import pytest
from tests.attacks.conftest import Watched
from tests.attacks.inputs import (
    Adapter,
    Fate,
    adapter,
    as_file,
    fate,
    off_the_wire,
    replaced,
    with_base,
    with_field,
)
from tests.gate.conftest import Owner, World, factors

from plora.gate import BaseFacts, Policy, decide
from plora.proto.errors import FormatError
from plora.proto.manifest import Manifest
from plora.proto.yaml_view import to_yaml

CODE = re.compile(r"[a-z_]+")
HANG = "(a+)+$"
"""A pattern on which Python's `re` takes exponential time."""


@pytest.fixture
def good(world: World, ada: Owner) -> Adapter:
    made = adapter(world, ada)
    assert made.judged().accepted
    return made


@pytest.fixture
def text(good: Adapter) -> str:
    plain = to_yaml(good.signed)
    assert as_file(plain)[0] == "accept"
    return plain


def edited(text: str, old: str, new: str) -> Fate:
    assert old in text
    return as_file(text.replace(old, new, 1))


def refused(attack: Watched, met: Fate, words: str) -> None:
    """The attack was refused, and for the reason that these words name."""
    outcome, reason, detail = met
    assert outcome == "reject", met
    assert words in f"{reason} {detail}", met
    attack.saw(outcome, reason if CODE.fullmatch(reason) else words)


def test_attack_001_duplicate_keys(attack: Watched, text: str, world: World, ada: Owner) -> None:
    refused(attack, as_file(text + "version: 2\n"), "the key 'version' is given twice")
    refused(attack, edited(text, "  r: 4\n", "  r: 4\n  r: 64\n"), "the key 'r' is given twice")
    doubled = off_the_wire(world, ada, replaced('"version":1', '"version":1,"version":2'))
    refused(attack, doubled, "a key is given twice")


def test_attack_002_alias_bomb(attack: Watched, text: str) -> None:
    levels = [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]" for n in range(1, 10)]
    bomb = "\n".join(["l0: &l0 [" + ", ".join("x" * 10) + "]", *levels])
    assert len(bomb) < 570
    refused(attack, as_file(f"{bomb}\n{text}"), "an anchor is not allowed")
    refused(attack, edited(text, "domain: legal", "domain: *l9"), "an alias is not allowed")


def test_attack_003_recursive_alias(attack: Watched, text: str) -> None:
    refused(attack, as_file("loop: &loop [*loop]\n" + text), "an anchor is not allowed")
    refused(attack, as_file("loop: &loop\n  again: *loop\n" + text), "an anchor is not allowed")


@pytest.mark.parametrize(
    ("nest", "words"),
    [
        ("[" * 1900, "opening brackets"),
        ("{a: " * 1900, "opening brackets"),
        ("[" * 40 + "]" * 40, "nested deeper than 16 levels"),
        ("\n" + "- " * 1900 + "x", "markers"),
        ("\n" + "? " * 1900 + "x", "markers"),
        ("\n" + "".join(f"{' ' * n}k:\n" for n in range(1, 40)), "nested deeper than 16 levels"),
    ],
)
def test_attack_004_deep_nesting(attack: Watched, text: str, nest: str, words: str) -> None:
    quickly_refused(attack, lambda: as_file(f"deep: {nest}\n{text}"), words)


def test_attack_004_deep_nesting_off_the_wire(attack: Watched, world: World, ada: Owner) -> None:
    payload = world.case(ada).statement.payload
    deep = replaced('"plasmid_id"', f'"nest":{"[" * 1900}{"]" * 1900},"plasmid_id"')(payload)
    quickly_refused(attack, lambda: read(deep), "nested deeper than 16 levels")


def read(payload: bytes) -> Fate:
    try:
        Manifest.from_bytes(payload)
    except FormatError as error:
        return "reject", error.what, error.where
    return "accept", "", ""


def quickly_refused(attack: Watched, read: Callable[[], Fate], words: str) -> None:
    """Within 10 ms: the best of five, since other processes share the machine."""
    met, milliseconds = read(), float("inf")
    for _ in range(5):
        started = time.perf_counter()
        met = read()
        milliseconds = min(milliseconds, (time.perf_counter() - started) * 1000)
    assert met[0] == "reject" and words in met[1] and milliseconds < 10
    attack.saw(met[0], words, milliseconds)


def test_attack_005_integer_of_4000_digits(attack: Watched, text: str, world: World, ada: Owner) -> None:
    digits = "9" * 4000
    refused(attack, edited(text, "version: 1\n", f"version: {digits}\n"), "an integer of 2^53 or more")
    refused(attack, off_the_wire(world, ada, replaced('"version":1', f'"version":{digits}')), "2^53 or more")
    refused(attack, off_the_wire(world, ada, replaced('"version":1', f'"version":{2**53}')), "2^53 or more")


@pytest.mark.parametrize("tag", ["!!python/object/apply:os.system ['true']", "!!python/name:os.system ''", "!x y"])
def test_attack_006_python_tag(attack: Watched, text: str, tag: str) -> None:
    refused(attack, edited(text, "domain: legal", f"domain: {tag}"), "a tag is not allowed")


AMBIGUOUS = (
    "no",
    "on",
    "Yes",
    "012",
    "0o14",
    "0b1",
    "0x1F",
    "1:30",
    "1_000",
    "1e3",
    ".inf",
    ".NaN",
    "~",
    "",
    "=",
    "2026-01-01",
    "2026-01-01 00:00:00 +25:00",
    "2026-1-1T0:0:0Z",
)


@pytest.mark.parametrize("word", AMBIGUOUS)
def test_attack_007_coercions(attack: Watched, text: str, word: str) -> None:
    refused(attack, edited(text, "domain: legal", f"domain: {word}"), "different things to different readers")


def test_attack_007_coercions_by_tag_merge_key_and_mark(attack: Watched, text: str) -> None:
    refused(attack, edited(text, "domain: legal", "domain: !!binary aGk="), "a tag is not allowed")
    refused(attack, edited(text, "domain: legal", "domain: !!set {legal}"), "a tag is not allowed")
    refused(attack, as_file("<<: {version: 7}\n" + text), "'<<' means different things")
    refused(attack, as_file("\ufeff" + text), "byte order mark")


def test_attack_008_several_documents(attack: Watched, text: str) -> None:
    refused(attack, as_file(f"{text}---\n{text}"), "a second document")
    refused(attack, as_file(f"{text}...\n---\nversion: 2\n"), "a second document")


def test_attack_009_unknown_or_missing_field(attack: Watched, text: str, world: World, ada: Owner) -> None:
    refused(attack, as_file(text + "trusted: true\n"), "trusted")
    refused(attack, edited(text, "  r: 4\n", "  r: 4\n  use_dora: true\n"), "use_dora")
    refused(attack, edited(text, "domain: legal\n", ""), "domain")
    for field in ("expires", "lora.r", "artifacts.sha256", "safety.licence", "signer.algo", "owner"):
        refused(attack, off_the_wire(world, ada, with_field(field, None)), field)
    for field in ("quorum", "lora.bias", "artifacts.url", "signer.trust"):
        refused(attack, off_the_wire(world, ada, with_field(field, "x")), field)


@pytest.mark.parametrize(
    "name",
    ["../adapter_model.safetensors", "/etc/passwd", "a\u0000b", "..\\adapter_model.safetensors", "adapter_model.bin"],
)
def test_attack_010_file_name_that_leads_elsewhere(attack: Watched, world: World, ada: Owner, name: str) -> None:
    refused(attack, off_the_wire(world, ada, with_field("artifacts.filename", name)), "artifacts.filename")


@pytest.mark.parametrize("field", ["plasmid_id", "domain"])
@pytest.mark.parametrize(
    "name",
    [
        "l\u0435gal",  # Cyrillic e
        "lega\u217c",  # Roman numeral fifty
        "caf\u00e9",
        "cafe\u0301",
        "legal\u200b",
        "Legal",
        "legal--r4",
        "legal ",
        "-legal",
        "merged",
        "l" * 65,
    ],
)
def test_attack_011_ids_that_look_like_others(attack: Watched, world: World, ada: Owner, field: str, name: str) -> None:
    refused(attack, off_the_wire(world, ada, with_field(field, name)), f"{field}: ")


def test_attack_012_right_base_name_with_wrong_digest(attack: Watched, world: World, ada: Owner) -> None:
    case = world.case(ada)
    assert decide(case, Policy(base_digests={"mini": "ba" * 32}), world.trust(ada)).accepted
    pinned = decide(case, Policy(base_digests={"mini": "cc" * 32}), world.trust(ada))
    refused(attack, fate(pinned), "base_digest_mismatch")
    at_hand = world.case(ada, base_digest="cc" * 32)
    met = decide(with_base(at_hand, BaseFacts("mini", "ba" * 32)), Policy(), world.trust(ada))
    refused(attack, fate(met), "base_digest_mismatch")


@pytest.mark.parametrize("rank", [0, -4, 1025, 2**40, True, 4.5, "4"])
def test_attack_013_rank_that_is_none(attack: Watched, world: World, ada: Owner, rank: object) -> None:
    refused(attack, off_the_wire(world, ada, with_field("lora.r", rank)), "lora.r")


def test_attack_013_rank_that_is_not_the_tensors(attack: Watched, world: World, ada: Owner) -> None:
    refused(attack, fate(adapter(world, ada, factors(rank=8)).judged()), "rank_mismatch")
    refused(attack, fate(adapter(world, ada, lora={"rank_pattern": {"q_proj": 2}}).judged()), "rank_mismatch")
    hidden = adapter(world, ada, factors(rank=8), lora={"rank_pattern": {"q_proj": 8}})
    refused(attack, fate(hidden.judged(Policy(allowed_ranks=(4,)))), "rank_not_allowed")
    refused(attack, fate(hidden.judged(Policy(rank_max=4))), "rank_too_large")


@pytest.mark.parametrize("alpha", [-8, 0, 1e30, True, "8", 1e-9])
def test_attack_014_alpha_that_is_none(attack: Watched, world: World, ada: Owner, alpha: object) -> None:
    refused(attack, off_the_wire(world, ada, with_field("lora.alpha", alpha)), "lora.alpha")


def test_attack_014_alpha_spelled_as_no_number(attack: Watched, text: str, world: World, ada: Owner) -> None:
    refused(attack, edited(text, "alpha: 8.0", "alpha: .nan"), "different things to different readers")
    refused(attack, edited(text, "alpha: 8.0", "alpha: 1.0e+30"), "lora.alpha")
    refused(attack, edited(text, "alpha: 8.0", "alpha: true"), "lora.alpha")
    refused(attack, off_the_wire(world, ada, replaced('"alpha":8', '"alpha":NaN')), "NaN is not JSON")


@pytest.mark.parametrize(
    "lora",
    [
        {"alpha": 260.0},
        {"alpha": 130.0, "use_rslora": True},
        {"alpha_pattern": {"q_proj": 400.0}},
        {"alpha_pattern": {"other": 400.0}},
        {"alpha": 80.0, "rank_pattern": {"q_proj": 1}},
    ],
)
def test_attack_014_inflated_scale(attack: Watched, world: World, ada: Owner, lora: dict[str, object]) -> None:
    refused(attack, fate(adapter(world, ada, lora=lora).judged()), "scale_too_large")


def test_attack_014_patterns_that_contend(attack: Watched, world: World, ada: Owner) -> None:
    twice = {"q_proj": 9.0, "self_attn.q_proj": 8.0}
    verdict = decide(world.case(ada, lora={"alpha_pattern": twice}), Policy(), world.trust(ada))
    refused(attack, fate(verdict), "ambiguous_pattern")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("lora.target_modules", [HANG]),
        ("lora.target_modules", HANG),
        ("lora.target_modules", ["all-linear"]),
        ("lora.rank_pattern", {HANG: 4}),
        ("lora.alpha_pattern", {HANG: 8}),
        ("lora.exclude_modules", HANG),
        ("lora.layers_pattern", HANG),
        ("lora.modules_to_save", [HANG]),
    ],
)
def test_attack_015_regular_expression_signed(
    attack: Watched, world: World, ada: Owner, field: str, value: object
) -> None:
    refused(attack, off_the_wire(world, ada, with_field(field, value)), field)


@pytest.mark.parametrize(
    "key", ["target_modules", "exclude_modules", "layers_pattern", "rank_pattern", "alpha_pattern", "modules_to_save"]
)
def test_attack_015_regular_expression_in_the_configuration(attack: Watched, good: Adapter, key: str) -> None:
    for value in (HANG, [HANG], {HANG: 4}):
        verdict = good.with_config(**{key: value})
        refused(attack, fate(verdict), "config_differs")


@pytest.mark.parametrize(
    "change",
    [
        {"init_lora_weights": "pissa"},
        {"init_lora_weights": "pissa_niter_16"},
        {"init_lora_weights": "olora"},
        {"init_lora_weights": "loftq"},
        {"kasa_config": {"svd_rank": 4}},
        {"use_dora": True},
        {"bias": "all"},
        {"auto_mapping": {"base_model_class": "X", "parent_library": "evil.module"}},
        {"peft_type": "BONE"},
        {"trust_remote_code": True},
        {"__class__": "os"},
    ],
)
def test_attack_016_configuration_outside_the_allowlist(
    attack: Watched, good: Adapter, change: dict[str, object]
) -> None:
    verdict = good.with_config(**change)
    refused(attack, fate(verdict), "config_differs")
    assert next(iter(change)) in str(verdict.evidence["detail"])


def test_attack_017_over_the_size_limit(attack: Watched, text: str, world: World, ada: Owner) -> None:
    bomb = "a: [" * 20_000  # would be refused for its brackets, were it read
    refused(attack, as_file(bomb), "bytes, the limit is 65536")
    refused(attack, as_file(f"{text}#{'x' * 65_536}\n"), "bytes, the limit is 65536")
    wide = off_the_wire(world, ada, with_field("domain", "x" * 16_384))
    refused(attack, wide, "the limit is 16384")
