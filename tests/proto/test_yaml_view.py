from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from plora.proto.dsse import StatementKind
from plora.proto.errors import FormatError, ManifestError
from plora.proto.keys import PrivateKey, private_key_from_seed
from plora.proto.manifest import Manifest
from plora.proto.statement import Statement, open_statement, sign_statement, verify_statement
from plora.proto.strict_yaml import YAML_BYTES_MAX, must_be_quoted, parse_yaml
from plora.proto.yaml_view import SignedManifest, from_yaml, read_plora_yml, to_yaml, write_plora_yml


@pytest.fixture
def text(signed: Statement, attestation: Statement) -> str:
    return to_yaml(SignedManifest.of(signed, [attestation]))


def test_the_view_comes_back_with_the_signed_bytes(
    signed: Statement, attestation: Statement, key: PrivateKey, other_key: PrivateKey
) -> None:
    view = SignedManifest.of(signed, [attestation])
    again = from_yaml(to_yaml(view))
    assert again == view
    assert again.statement() == signed and again.attestations() == (attestation,)
    assert verify_statement(again.statement(), key.public)
    assert verify_statement(again.attestations()[0], other_key.public)


def test_other_readers_see_the_same_fields(text: str, manifest: Manifest) -> None:
    seen = yaml.safe_load(text)
    assert len(seen.pop("cosignatures")) == 1 and seen["signer"].pop("signature_b64")
    assert seen == json.loads(manifest.to_bytes())
    assert list(seen)[:4] == ["schema_version", "plasmid_id", "version", "domain"]


def test_order_quotes_comments_and_defaults_do_not_matter(text: str, signed: Statement) -> None:
    lines = [line for line in text.splitlines() if "use_rslora" not in line and "peft_format" not in line]
    changed = "\n".join(["peft_format: 'lora'", *lines, "# the end"]).replace("domain: legal", 'domain:   "legal"  # x')
    assert from_yaml(changed).statement() == signed


@settings(max_examples=60, deadline=None)
@given(st.floats(1e-6, 65_536), st.floats(0, 1), st.floats(-1e12, 1e12), st.integers(1, 2**53 - 1))
def test_numbers_come_back(alpha: float, dropout: float, loss: float, version: int) -> None:
    digest = "0123456789" * 6 + "0000"
    artifacts = {"sha256": digest, "size_bytes": 1, "chunk_bytes": 16_384, "chunk_count": 1, "chunk_root": digest}
    manifest = Manifest.of_fields(
        {
            "plasmid_id": "on",
            "domain": "1e3",
            "version": version,
            "base_model": "null",
            "base_digest": digest,
            "swarm": digest,
            "owner": digest,
            "lineage": "1" * 62 + "e1",
            "issued": "2026-01-01T00:00:00Z",
            "expires": "2026-01-02T00:00:00Z",
            "lora": {"r": 1, "alpha": alpha, "dropout": dropout, "target_modules": ["on", "0x1F", "12"]},
            "artifacts": artifacts,
            "metrics": {"delta_ppl": loss},
            "safety": {"licence": "0.1", "poisoning_score": dropout},
            "signer": {"algo": "Ed25519", "pubkey_fingerprint": digest},
        }
    )
    view = SignedManifest(manifest, b"s")
    again = from_yaml(to_yaml(view))
    assert again == view and again.manifest.to_bytes() == manifest.to_bytes()


@settings(max_examples=150, deadline=None)
@given(st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1, max_size=12))
def test_text_that_need_not_be_quoted_is_text_to_every_reader(text: str) -> None:
    if text.isascii() and text.isalnum() and not must_be_quoted(text):
        assert parse_yaml(text.encode()).tree == text == yaml.safe_load(text)
    assert parse_yaml(json.dumps(text, ensure_ascii=False).encode()).tree == text


COERCIONS = [
    *(
        "no",
        "on",
        "012",
        "0b1",
        "0x1F",
        "1:30",
        "1_000",
        "1e3",
        ".inf",
        "-.Inf",
        ".nan",
        "~",
        "<<",
        "=",
        "y",
        "N",
        "yes",
    ),
    *("OFF", "True", "NULL", "0o17", "+1", ".5", "5.", "2026-01-01", "2026-01-01T00:00:00Z", "12e3", "1,000"),
    *("-1:30:30.5", "2026-01-01 00:00:00 +25:00", ""),
]


@pytest.mark.parametrize("word", COERCIONS)
def test_attack_007_coercions(word: str) -> None:
    with pytest.raises(FormatError, match=r"different things.*quotes"):
        parse_yaml(f"a:\n  b: {word}\n".encode())
    with pytest.raises(FormatError):
        parse_yaml(f"{word}: 1".encode())
    assert parse_yaml(f"a: '{word}'".encode()).tree == {"a": word}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"a: 1\nb: 2\na: 1", "line 3: the key 'a' is given twice"),  # 1
        (b"a: &x [1]\nb: *x", "line 1: an anchor"),  # 2
        (b"a: *x", "line 1: an alias"),
        (b"&x a: 1", "an anchor"),
        (b"a: &x {b: *x}", "an anchor"),  # 3
        (b"a: " + b"9" * 4_000, "line 1: an integer of 2"),  # 5
        (b"a: 9007199254740992", "an integer of 2"),
        (b"a: 1.0e+400", "too large"),
        (b"a: !!python/object/apply:os.system [x]", "a tag"),  # 6
        (b"a: !!binary YQ==", "a tag"),
        (b"a: !!set {b}", "a tag"),
        (b"a: !!str 1", "a tag"),
        (b"a: ! b", "a tag"),
        (b"\xef\xbb\xbfa: 1", "byte order mark"),  # 7
        (b"a: 1\n---\nb: 1", "second document"),  # 8
        (b"%YAML 1.1\n---\na: 1", "directive"),
        (b"%TAG ! tag:x,2000:\n---\na: 1", "directive"),
        (b"a: |\n  b", "block text"),
        (b"a: >\n  b", "block text"),
        (b"1: a", "not text"),
        (b"[a]: b", "not text"),
        (b"true: b", "not text"),
        (b"", "empty"),
        (b"# nothing", "empty"),
        (b"a: 'b", "not YAML"),
        (b"a: \x1b[31m", "character"),
        (b"a: \xff", "UTF-8"),
        (b" " * 65 + b"a: 1", "indented"),
    ],
)
def test_attack_001_to_008_features(data: bytes, reason: str) -> None:
    with pytest.raises(FormatError, match=reason):
        parse_yaml(data)


@pytest.mark.parametrize(
    "data",
    [
        b"a: " + b"[" * 1_900,
        b"a: " + b"{b: " * 1_900,
        b"- " * 1_900,
        b"? " * 1_900,
        b"".join(b" " * depth + b"a:\n" for depth in range(60)),
        b"[" * 17 + b"]" * 17,
    ],
)
def test_attack_004_nesting_is_refused_at_once(data: bytes) -> None:
    begin = time.process_time()
    with pytest.raises(FormatError):
        parse_yaml(data)
    assert time.process_time() - begin < 0.05


def test_nesting_that_is_allowed() -> None:
    assert parse_yaml(b"[" * 16 + b"]" * 16).tree == eval("[" * 16 + "]" * 16)


def test_attack_017_size_is_checked_before_parsing() -> None:
    assert parse_yaml(b"a: " + b"b" * (YAML_BYTES_MAX - 3)).tree
    with pytest.raises(FormatError, match="the limit is 65536"):
        parse_yaml(b"[" + b" " * YAML_BYTES_MAX)


def edited(text: str, old: str, new: str) -> str:
    assert text.count(old) == 1, old
    return text.replace(old, new)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("\n  r: 4", "\n  r: 0", r"plora.yml, line \d+, lora.r: .*greater"),
        ("\n  r: 4", "\n  r: 4.0", r"lora.r: "),
        ("\n  r: 4", "\n  r: '4'", r"lora.r: "),
        ("\n  r: 4", "\n  rank: 4", r"line \d+, lora.r: missing field; add it"),
        ("\ndomain: legal", "\ndomain: legal\ncolour: red", r"line \d+, colour: unknown field; remove it"),
        ("\ndomain: legal", "\ndomain: no", r"line \d+: 'no' means"),
        ("\ndomain: legal", "\ndomain: legal\ndomain: legal", r"given twice"),
        ("\nschema_version: 0", "\nschema_version: false", r"schema_version: must be an integer"),
        ("\nversion: 3", "\nversion: 3 4", r"version: "),
        ("[q_proj, v_proj]", "[q_proj, '(a+)+$']", r"lora.target_modules.1: .*regular expression"),
        ("\ncosignatures:", "\nothers:", r"others: unknown field"),
        ("\n  - owner: ", "\n  - own: ", r"line \d+, cosignatures.0.owner: missing field"),
        ("\n  signature_b64: ", "\n  signature_b64: .", r"signer.signature_b64: not base64"),
    ],
)
def test_attack_009_errors_name_line_and_field(text: str, old: str, new: str, reason: str) -> None:
    changed = edited(text, old, new)
    with pytest.raises(ManifestError, match=reason):
        from_yaml(changed)


def test_a_missing_signature_says_how_to_sign(text: str) -> None:
    lines = [line for line in text.splitlines() if not line.startswith("  signature_b64")]
    with pytest.raises(ManifestError, match=r"signer\.signature_b64: no signature; .*plora sign"):
        from_yaml("\n".join(lines))


def test_cosignatures_must_be_a_list(text: str) -> None:
    with pytest.raises(ManifestError, match="cosignatures: must be a list"):
        from_yaml(text[: text.index("cosignatures:")] + "cosignatures: 5")


@pytest.mark.parametrize("data", ["5", "[]", "null", "text"])
def test_not_a_mapping(data: str) -> None:
    with pytest.raises(ManifestError, match="not a mapping"):
        from_yaml(data)


def attested(attestation: Statement, key: PrivateKey) -> Statement:
    """The same word by another key."""
    body = open_statement(attestation).model_copy(update={"key_id": key.public.key_id})
    return sign_statement(StatementKind.ATTESTATION, body, key)


def test_cosignatures_are_bounded_sorted_and_of_this_manifest(
    signed: Statement, attestation: Statement, key: PrivateKey
) -> None:
    assert len(SignedManifest.of(signed, [attestation] * 20).cosignatures) == 1  # one a key
    keys = [private_key_from_seed(bytes([n]) * 32) for n in range(20)]
    view = SignedManifest.of(signed, [attested(attestation, one) for one in keys])
    assert len(view.cosignatures) == 16
    assert [one.key_id for one in view.cosignatures] == sorted(one.public.key_id for one in keys[:16])
    more = dataclasses.replace(view, cosignatures=view.cosignatures + view.cosignatures[:1])
    with pytest.raises(ManifestError, match="at most 16"):
        from_yaml(to_yaml(more))
    stranger = view.attestations()[0]
    other = SignedManifest.of(dataclasses.replace(signed, signature=b"x"), [stranger])
    assert len(other.cosignatures) == 1  # the id leaves the signature out
    with pytest.raises(ManifestError, match="not a manifest"):
        SignedManifest.of(attestation)


def test_any_change_voids_the_signature(text: str, key: PrivateKey) -> None:
    changed = from_yaml(text.replace("licence: MIT", "licence: BSD-3-Clause"))
    assert not verify_statement(changed.statement(), key.public)


def test_files(text: str, signed: Statement, tmp_path: Path) -> None:
    path = tmp_path / "plora.yml"
    with pytest.raises(ManifestError, match="plora sign"):
        read_plora_yml(path)
    write_plora_yml(path, from_yaml(text))
    write_plora_yml(path, from_yaml(text))
    assert read_plora_yml(path).statement() == signed
    assert [one.name for one in tmp_path.iterdir()] == ["plora.yml"]
    with pytest.raises(ManifestError, match="can't be written"):
        write_plora_yml(tmp_path / "no" / "plora.yml", from_yaml(text))
    path.write_bytes(b"a: " + b"b" * YAML_BYTES_MAX)
    with pytest.raises(ManifestError, match="the limit"):
        read_plora_yml(path)


def test_undecodable_text() -> None:
    with pytest.raises(ManifestError, match="UTF-8"):
        from_yaml("a: \ud800")


def test_lines_fall_back_to_the_nearest_parent() -> None:
    document = parse_yaml(b"a:\n  b: 1\nc: 2")
    assert document.where("a.b") == "line 2, a.b"
    assert document.where("a.x.y") == "line 2, a.x.y"
    assert document.where("z") == "line 1, z"
    assert document.where("") == "line 1"


def parsed(value: Any) -> Any:
    return parse_yaml(json.dumps(value, ensure_ascii=False).encode()).tree


@settings(max_examples=100, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.just("x y"),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
        max_leaves=10,
    )
)
def test_json_is_yaml(value: Any) -> None:
    assert parsed(value) == value
