from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plora.proto.canonical import canonical_bytes, parse_canonical
from plora.proto.chunks import CHUNK_BYTES_MIN, chunk_count, describe_artifact
from plora.proto.errors import ManifestError, UsageError
from plora.proto.fields import check_id, epoch_day, format_timestamp, parse_timestamp
from plora.proto.manifest import Artifacts, Manifest

ABSENT = object()


def changed(fields: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    *parents, last = path.split(".")
    place = fields
    for parent in parents:
        place = place[parent]
    if value is ABSENT:
        del place[last]
    else:
        place[last] = value
    return fields


REFUSED: list[tuple[str, object]] = [
    ("schema_version", 1),
    ("schema_version", False),
    ("schema_version", "0"),
    ("plasmid_id", "Legal"),
    ("plasmid_id", "legal--r4"),
    ("plasmid_id", "merged"),
    ("plasmid_id", "-legal"),
    ("plasmid_id", "a" * 65),
    ("plasmid_id", ""),
    ("plasmid_id", "legal\n"),
    ("plasmid_id", "légal"),
    ("plasmid_id", "l\u0435gal"),
    ("domain", "<b>legal"),
    ("domain", "\x1b[31m"),
    ("domain", "\u202elegal"),
    ("base_model", "../gemma"),
    ("base_model", "a/b/c"),
    ("base_model", "google/gemma--3"),
    ("base_model", "google/gemma..3"),
    ("base_model", "/gemma"),
    ("peft_format", "ia3"),
    ("lora.r", 0),
    ("lora.r", -1),
    ("lora.r", 1025),
    ("lora.r", True),
    ("lora.r", 4.0),
    ("lora.r", "4"),
    ("lora.alpha", 0),
    ("lora.alpha", -1.0),
    ("lora.alpha", float("nan")),
    ("lora.alpha", float("inf")),
    ("lora.alpha", 1e30),
    ("lora.alpha", True),
    ("lora.dropout", 1.5),
    ("lora.dropout", -0.1),
    ("lora.target_modules", []),
    ("lora.target_modules", ["(a+)+$"]),
    ("lora.target_modules", "all-linear"),
    ("lora.target_modules", ["q_proj", "q_proj"]),
    ("lora.target_modules", ["q_proj\n"]),
    ("lora.target_modules", [f"m{place}" for place in range(65)]),
    ("lora.use_rslora", 1),
    ("lora.rank_pattern", {"(a+)+$": 4}),
    ("lora.rank_pattern", {"q_proj": 0}),
    ("lora.rank_pattern", {f"m{place}": 1 for place in range(257)}),
    ("lora.alpha_pattern", {"^q": 4.0}),
    ("lora.alpha_pattern", {"q_proj": 1e30}),
    ("lora.modules_to_save", ["lm_head"]),
    ("lora.init_lora_weights", "pissa"),
    ("artifacts.filename", "../adapter_model.safetensors"),
    ("artifacts.filename", "adapter_model.bin"),
    ("artifacts.filename", "adapter_model.safetensors\x00"),
    ("artifacts.sha256", "AB" * 32),
    ("artifacts.sha256", "ab" * 31),
    ("artifacts.size_bytes", 0),
    ("artifacts.size_bytes", -1),
    ("artifacts.size_bytes", 2**53),
    ("artifacts.chunk_bytes", 16_383),
    ("artifacts.chunk_bytes", 1024 * 1024 + 1),
    ("artifacts.chunk_root", "zz" * 32),
    ("metrics.val_em", float("nan")),
    ("metrics.val_em", "good"),
    ("metrics.loss", 1.0),
    ("safety.licence", "MIT\n"),
    ("safety.licence", "<script>"),
    ("safety.licence", ""),
    ("safety.poisoning_score", 2.0),
    ("signer.algo", "RSA-PKCS1"),
    ("signer.pubkey_fingerprint", "ab"),
    ("swarm", "5a" * 31 + "5A"),
    ("owner", ABSENT),
    ("lineage", ABSENT),
    ("lora", ABSENT),
    ("version", 0),
    ("version", 2**53),
    ("version", True),
    ("issued", "2026-01-01"),
    ("issued", "2026-01-01T00:00:00+00:00"),
    ("issued", "2026-01-01 00:00:00Z"),
    ("issued", "2026-02-30T00:00:00Z"),
    ("issued", "2026-01-01T00:00:60Z"),
    ("issued", "1969-12-31T23:59:59Z"),
    ("issued", "٢٠٢٦-01-01T00:00:00Z"),
    ("base_digest", ABSENT),
    ("colour", "red"),
]


@pytest.mark.parametrize(("path", "value"), REFUSED)
def test_attack_009_to_016_field_grammar(fields: dict[str, Any], path: str, value: object) -> None:
    with pytest.raises(ManifestError) as caught:
        Manifest.of_fields(changed(fields, path, value))
    assert caught.value.where.startswith(path)


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        ("artifacts.chunk_count", 2, "chunk_count must be 3"),
        ("artifacts.size_bytes", 49_153, "chunk_count must be 4"),
        ("expires", "2026-01-01T00:00:00Z", "later than issued"),
        ("expires", "2025-12-31T23:59:59Z", "later than issued"),
    ],
)
def test_cross_checks(fields: dict[str, Any], path: str, value: object, reason: str) -> None:
    with pytest.raises(ManifestError, match=reason):
        Manifest.of_fields(changed(fields, path, value))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("lora.r", 1024),
        ("lora.r", 1),
        ("lora.target_modules", ["q_proj"]),
        ("lora.target_modules", [f"m{place}" for place in range(64)]),
        ("lora.alpha", 65_536),
        ("lora.dropout", 0),
        ("lora.rank_pattern", {"layers.0.q_proj": 8}),
        ("artifacts.size_bytes", 49_152),
        ("metrics", {}),
        ("version", 2**53 - 1),
        ("plasmid_id", "a" * 64),
        ("base_model", "mini"),
        ("safety.licence", "Apache-2.0 OR MIT"),
    ],
)
def test_what_the_grammar_allows(fields: dict[str, Any], path: str, value: object) -> None:
    made = Manifest.of_fields(changed(fields, path, value))
    assert Manifest.from_bytes(made.to_bytes()) == made


def test_payload_has_all_defaults_and_no_null(manifest: Manifest) -> None:
    body = parse_canonical(manifest.to_bytes())
    assert body["lora"]["use_rslora"] is False and body["lora"]["rank_pattern"] == {}
    assert sorted(body["metrics"]) == ["delta_ppl", "val_ppl_after", "val_ppl_before"]
    assert manifest.key_id == manifest.signer_key_id == body["signer"]["pubkey_fingerprint"]


@pytest.mark.parametrize(("path", "value"), [("lora.use_rslora", ABSENT), ("metrics.val_em", None)])
def test_one_content_has_one_payload(manifest: Manifest, path: str, value: object) -> None:
    data = canonical_bytes(changed(json.loads(manifest.to_bytes()), path, value))
    with pytest.raises(ManifestError, match="canonical spelling"):
        Manifest.from_bytes(data)


def test_a_manifest_is_frozen(manifest: Manifest) -> None:
    with pytest.raises(ValueError, match="frozen"):
        manifest.version = 4


def test_artifacts_of_a_description() -> None:
    block = Artifacts.of(describe_artifact(b"x" * 40_000, CHUNK_BYTES_MIN))
    assert (block.size_bytes, block.chunk_count) == (40_000, 3)


@pytest.mark.parametrize("chunk_bytes", [CHUNK_BYTES_MIN, 1024 * 1024])
def test_the_bounds_themselves_are_chunk_sizes(chunk_bytes: int) -> None:
    assert describe_artifact(b"x", chunk_bytes).chunk_count == 1


@pytest.mark.parametrize("chunk_bytes", [0, CHUNK_BYTES_MIN - 1, 1024 * 1024 + 1])
def test_chunk_size_is_bounded(chunk_bytes: int) -> None:
    with pytest.raises(UsageError, match="chunk_bytes"):
        describe_artifact(b"x", chunk_bytes)


@given(st.integers(1, 10**7), st.integers(1, 10**6))
def test_chunk_count_covers_and_is_least(size: int, chunk: int) -> None:
    count = chunk_count(size, chunk)
    assert (count - 1) * chunk < size <= count * chunk


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 253_402_300_799))
def test_timestamps_come_back(epoch_s: int) -> None:
    text = format_timestamp(epoch_s)
    assert parse_timestamp(text) == epoch_s
    assert epoch_day(text) * 86_400 <= epoch_s < (epoch_day(text) + 1) * 86_400


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=70))
def test_ids_are_safe_names(text: str) -> None:
    try:
        check_id(text)
    except ValueError:
        return
    assert text.isascii() and text == text.lower() and not {"/", "\\", " ", "\n"} & {*text} and "--" not in text
