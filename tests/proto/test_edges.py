"""The last value that is let in and the first that isn't, and checks that only a forged object can reach."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from pydantic import TypeAdapter

from plora.proto import errors
from plora.proto.dsse import StatementKind
from plora.proto.errors import ConfigError, FormatError, PloraError
from plora.proto.fields import Text
from plora.proto.keys import ED25519, PrivateKey, PublicKey
from plora.proto.manifest import Manifest
from plora.proto.owner_files import OwnerFiles, create_owner, read_owner_record
from plora.proto.statement import Statement, sign_statement
from plora.proto.strict_yaml import BRACKETS_MAX, INDENT_MAX, MARKERS_A_LINE_MAX, parse_yaml
from plora.proto.swarm import load_swarm, new_swarm, open_swarm
from plora.proto.yaml_view import SignedManifest


def brackets(count: int) -> bytes:
    return f"x: [{','.join(['[]'] * (count - 1))}]".encode()


def test_brackets_are_counted_to_the_last() -> None:
    assert BRACKETS_MAX == 256
    assert len(parse_yaml(brackets(256)).tree["x"]) == 255
    with pytest.raises(FormatError, match="256 opening brackets"):
        parse_yaml(brackets(257))


def test_braces_and_brackets_count_together() -> None:
    mixed = f"x: [{','.join(['{}'] * 255)}]"
    assert len(parse_yaml(mixed.encode()).tree["x"]) == 255
    with pytest.raises(FormatError, match="256 opening brackets"):
        parse_yaml(mixed.replace("{}", "{},{}", 1).encode())


def test_markers_of_a_line_are_counted_to_the_last() -> None:
    assert MARKERS_A_LINE_MAX == 4
    assert parse_yaml(b"- - - - x").tree == [[[["x"]]]]
    with pytest.raises(FormatError, match="more than 4 markers"):
        parse_yaml(b"- - - - - x")


def test_indents_are_counted_to_the_last() -> None:
    assert INDENT_MAX == 64
    assert parse_yaml(b"a:\n" + b" " * 64 + b"b: 1").tree == {"a": {"b": 1}}
    with pytest.raises(FormatError, match="more than 64 spaces"):
        parse_yaml(b"a:\n" + b" " * 65 + b"b: 1")


@pytest.mark.parametrize("number", [2**53 - 1, 1 - 2**53])
def test_integers_end_where_json_numbers_stay_exact(number: int) -> None:
    assert parse_yaml(f"x: {number}".encode()).tree == {"x": number}
    beyond = number + (1 if number > 0 else -1)
    with pytest.raises(FormatError, match="an integer of 2"):
        parse_yaml(f"x: {beyond}".encode())


def test_what_is_not_yaml_names_its_line() -> None:
    with pytest.raises(FormatError) as caught:
        parse_yaml(b"a: 1\nb: 2\nc: }\n")
    assert caught.value.where == "line 3"


def test_lines_of_nested_values() -> None:
    document = parse_yaml(b"a: 1\nb:\n  c: 2\n  d:\n  - 3\n  - e: 4\n")
    assert document.lines == {"": 1, "a": 1, "b": 3, "b.c": 3, "b.d": 5, "b.d.0": 5, "b.d.1": 6, "b.d.1.e": 6}


@pytest.mark.parametrize("marker", ["a:", "-"])
def test_nesting_is_counted_alike_in_lists_and_maps(marker: str) -> None:
    lines = [" " * depth + marker for depth in range(17)]
    assert parse_yaml("\n".join([*lines[:16], " " * 17 + "x"]).encode()).tree
    with pytest.raises(FormatError, match="nested deeper than 16"):
        parse_yaml("\n".join([*lines, " " * 17 + "x"]).encode())


def test_brackets_that_were_closed_are_no_depth() -> None:
    assert parse_yaml(b"x: [" + b"[], " * 40 + b"]").tree == {"x": [[]] * 40}
    assert parse_yaml(b"# ]]]]\nx: " + b"[" * 15 + b"]" * 15).tree
    with pytest.raises(FormatError, match="nested deeper than 16 levels"):
        parse_yaml(b"# ]]]]\nx: " + b"[" * 17 + b"]" * 17)


def test_a_weak_key_verifies_nothing_even_when_it_got_past_the_reader() -> None:
    """With the neutral point as key, R = the neutral point and S = 0 satisfy the equation for every message."""
    neutral = b"\x01" + bytes(31)
    weak = Ed25519PublicKey.from_public_bytes(neutral)
    weak.verify(neutral + bytes(32), b"any message")  # the library lets it pass
    spki = weak.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    assert not PublicKey(ED25519, spki, weak).verify(b"any message", neutral + bytes(32))


@pytest.mark.parametrize("bits", [2047, 2048, 4096, 4097])
def test_rsa_keys_have_2048_to_4096_bits(bits: int) -> None:
    key = RSAPublicNumbers(65537, (1 << bits) - 1).public_key()
    spki = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    if bits in (2048, 4096):
        assert PublicKey.from_spki(spki).spki == spki
    else:
        with pytest.raises(FormatError, match=f"RSA key of {bits} bits"):
            PublicKey.from_spki(spki)


def test_a_text_has_200_characters_at_most() -> None:
    texts = TypeAdapter(Text)
    assert texts.validate_python("é" * 200) == "é" * 200
    with pytest.raises(ValueError, match="at most 200 characters"):
        texts.validate_python("é" * 201)


@pytest.mark.parametrize("field", ["id", "secret"])
@pytest.mark.parametrize("value", ["", "5A" * 32, "5a" * 31, "5a" * 33])
def test_each_half_of_a_swarm_file_is_checked(tmp_path: Path, field: str, value: str) -> None:
    path = tmp_path / "swarm.json"
    open_swarm("edges").save(path)
    assert load_swarm(path) == open_swarm("edges")
    path.write_text(json.dumps(json.loads(path.read_text()) | {field: value}))
    with pytest.raises(ConfigError, match="64 hexadecimal digits"):
        load_swarm(path)


def test_a_new_swarm_is_made_of_64_bytes() -> None:
    swarm = new_swarm("mine", b"i" * 32 + b"s" * 32)
    assert (swarm.name, swarm.id, swarm.secret) == ("mine", "69" * 32, "73" * 32)
    for size in (63, 65):
        with pytest.raises(ValueError, match="64 random bytes"):
            new_swarm("mine", bytes(size))


def test_a_new_owner_begins_with_version_1_in_files_of_the_right_mode(tmp_path: Path) -> None:
    owner = create_owner(tmp_path / "ada.pem", name="ada", swarm="5a" * 32, issued_s=1_767_225_600)
    assert (owner.record.version, owner.record.threshold, owner.record.issued) == (1, 1, "2026-01-01T00:00:00Z")
    files = OwnerFiles.of_key(tmp_path / "ada.pem")
    modes = {path.suffix: path.stat().st_mode & 0o777 for path in (files.private, files.public, files.record)}
    assert modes == {".pem": 0o600, ".pub": 0o644, ".owner": 0o644}
    assert read_owner_record(files.record) == (owner.statement, owner.record)


def test_only_attestations_of_this_manifest_are_its_cosignatures(
    fields: dict[str, Any], key: PrivateKey, signed: Statement, attestation: Statement
) -> None:
    other = sign_statement(StatementKind.MANIFEST, Manifest.of_fields(fields | {"version": 4}), key)
    assert len(SignedManifest.of(signed, [attestation]).cosignatures) == 1
    assert SignedManifest.of(other, [attestation]).cosignatures == ()


def test_exit_codes_are_those_that_the_command_promises() -> None:
    """1 failed, 2 usage or configuration, 3 refused or held, 4 peer not running."""
    expected = {"UsageError": 2, "ConfigError": 2, "RefusedError": 3, "PeerNotRunningError": 4}
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, PloraError)]
    direct = {kind.__name__: kind.exit_code for kind in kinds if kind.__base__ in (Exception, PloraError)}
    assert {name: code for name, code in direct.items() if code != 1} == expected
