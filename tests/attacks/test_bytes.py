"""Attacks on the artifact's bytes and on the safetensors format, each in a folder that is signed as it stands."""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import pickletools
import zipfile
from dataclasses import replace
from typing import Any

import pytest
from tests.attacks.conftest import Watched
from tests.attacks.inputs import adapter
from tests.gate.conftest import Owner, World, a_name, b_name, factors, safetensors_bytes

from plora.gate import Policy, Verdict, decide


def fell(attack: Watched, verdict: Verdict, stage: str, reason: str) -> None:
    """The attack fell at this stage for this reason, and every stage before it had no objection."""
    assert (verdict.stage, verdict.reason) == (stage, reason), dict(verdict.evidence)
    assert [one.reason for one in verdict.stages if one.reason] == [reason]
    attack.saw(verdict.outcome, verdict.reason)


def test_attack_018_sha256_mismatch(attack: Watched, world: World, ada: Owner) -> None:
    made = adapter(world, ada)
    raw = bytearray(made.artifact.read_bytes())
    raw[-1] ^= 1
    made.artifact.write_bytes(bytes(raw))
    fell(attack, made.judged(), "chunks and hash", "hash_mismatch")
    assert not made.judged().bytes_only, "other bytes may be the right ones"


@pytest.mark.parametrize("change", ["longer", "shorter", "empty"])
def test_attack_019_size_is_not_the_declared(attack: Watched, world: World, ada: Owner, change: str) -> None:
    made = adapter(world, ada)
    raw = made.artifact.read_bytes()
    made.artifact.write_bytes({"longer": raw + b"\x00", "shorter": raw[:-4], "empty": b""}[change])
    fell(attack, made.judged(), "chunks and hash", "size_mismatch")


class Payload:
    """What a hostile pickle calls."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch /tmp/plora-owned",)


PICKLES = {protocol: pickle.dumps(Payload(), protocol) for protocol in (2, 4, 5)}


@pytest.mark.parametrize("protocol", sorted(PICKLES))
def test_attack_020_pickle_renamed(attack: Watched, world: World, ada: Owner, protocol: int) -> None:
    assert any(code.name == "REDUCE" for code, _, _ in pickletools.genops(PICKLES[protocol]))
    fell(attack, adapter(world, ada, PICKLES[protocol]).judged(), "header", "header_pickle")


@pytest.mark.parametrize(
    "name", ["adapter_model.bin", "pytorch_model.bin", "adapter_model.pt", "weights.pkl", "x.ckpt"]
)
def test_attack_020_pickle_beside_it(attack: Watched, world: World, ada: Owner, name: str) -> None:
    made = adapter(world, ada)
    (made.folder / name).write_bytes(PICKLES[2])
    fell(attack, made.judged(), "strict manifest", "folder_refused")
    assert name in str(made.judged().evidence["detail"])


def zipped() -> bytes:
    """A thousandfold bomb: a megabyte of zeros in a thousand bytes."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("adapter_model.safetensors", bytes(1 << 20))
    assert len(packed.getvalue()) < 1200
    return packed.getvalue()


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (zipped(), "header_zip"),
        (gzip.compress(bytes(1 << 20), 9, mtime=0), "header_gzip"),
        (b"7z\xbc\xaf\x27\x1c\x00\x04" + bytes(56), "header_7z"),
    ],
)
def test_attack_021_archives(attack: Watched, world: World, ada: Owner, raw: bytes, reason: str) -> None:
    fell(attack, adapter(world, ada, raw).judged(), "header", reason)


def test_attack_022_swapped_after_hashing(attack: Watched, world: World, ada: Owner) -> None:
    made = adapter(world, ada)
    other = made.folder.parent / "other"
    other.write_bytes(safetensors_bytes(factors(seed=9)))
    assert made.judged().accepted
    other.replace(made.artifact)
    fell(attack, made.judged(), "chunks and hash", "hash_mismatch")


def test_attack_022_a_second_name(attack: Watched, world: World, ada: Owner) -> None:
    """Whoever holds it could change the bytes after they were judged: refused as it is, before anything is changed."""
    made = adapter(world, ada)
    second = made.folder.parent / "second"
    os.link(made.artifact, second)
    verdict = made.judged()
    fell(attack, verdict, "strict manifest", "folder_refused")
    assert "2 names of one file" in str(verdict.evidence["detail"])
    second.unlink()
    assert made.judged().accepted


def test_attack_022_changed_through_a_second_name(attack: Watched, world: World, ada: Owner) -> None:
    made = adapter(world, ada)
    second = made.folder.parent / "second"
    os.link(made.artifact, second)
    with second.open("r+b") as stream:
        stream.seek(-1, os.SEEK_END)
        stream.write(b"\x77")
    second.unlink()
    fell(attack, made.judged(), "chunks and hash", "hash_mismatch")


@pytest.mark.parametrize("name", ["adapter_model-00002.safetensors", "README.md", "optimizer.safetensors", ".git"])
def test_attack_023_unlisted_file(attack: Watched, world: World, ada: Owner, name: str) -> None:
    made = adapter(world, ada)
    (made.folder / name).write_bytes(made.artifact.read_bytes())
    fell(attack, made.judged(), "strict manifest", "folder_refused")


# The format. `made` holds a header's text, then as many bytes of data as wanted.

A, B = a_name(), b_name()
PAIR = {
    A: {"dtype": "F32", "shape": [4, 16], "data_offsets": [0, 256]},
    B: {"dtype": "F32", "shape": [12, 4], "data_offsets": [256, 448]},
}
DATA = safetensors_bytes(factors())[-448:]


def made(header: str | dict[str, Any], data: bytes = DATA, length: int | None = None) -> bytes:
    text = (header if isinstance(header, str) else json.dumps(header, separators=(",", ":"))).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def entry(dtype: str, shape: list[Any], begin: Any, end: Any, **more: Any) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end], **more}


def text_of(*pairs: tuple[str, dict[str, Any]], metadata: str = "") -> str:
    """A header in which names may stand twice; a name is written as it is."""
    listed = [f'"{name}":{json.dumps(fields)}' for name, fields in pairs]
    return "{" + ",".join([*([f'"__metadata__":{metadata}'] if metadata else []), *listed]) + "}"


def both(**of_a: Any) -> dict[str, Any]:
    """The pair, A's entry changed."""
    return {A: {**PAIR[A], **of_a}, B: PAIR[B]}


def test_the_pair_itself_is_accepted(world: World, ada: Owner) -> None:
    assert adapter(world, ada, made(PAIR)).judged().accepted


FORMAT: dict[str, tuple[bytes, str]] = {
    "024 twice": (made(text_of((A, PAIR[A]), (A, PAIR[A]), (B, PAIR[B]))), "header_duplicate_name"),
    "024 escaped": (made(text_of((A, PAIR[A]), ("\\u0062" + A[1:], PAIR[A]), (B, PAIR[B]))), "header_duplicate_name"),
    "025 twice": (
        made(text_of(*PAIR.items(), metadata='{"format":"pt","format":"np"}')),
        "header_duplicate_name",
    ),
    "025 two blocks": (
        made(text_of(("__metadata__", {}), *PAIR.items(), metadata="{}")),
        "header_duplicate_name",
    ),
    "026 extra": (made(both(device="cuda:0")), "header_fields"),
    "026 missing": (made({A: {"dtype": "F32", "shape": [4, 16]}, B: PAIR[B]}), "header_fields"),
    "027 leading": (made(" " + json.dumps(PAIR, separators=(",", ":"))), "header_white_space"),
    "027 line end": (made(json.dumps(PAIR, separators=(",", ":")) + "\n"), "header_white_space"),
    "027 long tail": (made(json.dumps(PAIR, separators=(",", ":")) + " " * 64), "header_white_space"),
    "028 zero": (made(PAIR, length=0), "header_length"),
    "028 huge": (made(PAIR, length=2**63), "header_length"),
    "028 past the end": (made(PAIR, length=100_000), "header_length"),
    "029 overlap": (made({A: PAIR[A], B: entry("F32", [12, 4], 128, 320)}), "header_overlap"),
    "029 hole": (made({A: PAIR[A], B: entry("F32", [12, 4], 264, 456)}, DATA + bytes(8)), "header_hole"),
    "029 trailing": (made(PAIR, DATA + b"\x00"), "header_trailing"),
    "029 truncated": (made(PAIR, DATA[:-1]), "header_truncated"),
    "029 negative": (made(both(data_offsets=[-256, 0])), "header_offsets"),
    "029 reversed": (made(both(data_offsets=[256, 0])), "header_offsets"),
    "029 float": (made(both(data_offsets=[0, 256.0])), "header_number"),
    "029 too far": (made(both(data_offsets=[0, 2**60])), "header_number"),
    "029 boolean": (made(both(data_offsets=[False, 256])), "header_offsets"),
    "030 empty tensors": (
        made(json.dumps({f"t{n}": entry("F32", [0], 0, 0) for n in range(9000)}, separators=(",", ":")), b""),
        "header_count",
    ),
    "030 300,000 empty tensors": (
        made(json.dumps({f"t{n}": entry("F32", [0], 0, 0) for n in range(300_000)}, separators=(",", ":")), b""),
        "header_length",
    ),
    "030 metadata": (made({"__metadata__": {"x": "y" * 90_000}, **PAIR}), "header_metadata"),
    "030 90 MB of metadata": (made({"__metadata__": {"x": "y" * 90_000_000}, **PAIR}), "header_length"),
    "031 zero axis": (made(both(shape=[2**40, 0], data_offsets=[0, 0])), "header_shape"),
    "031 65 axes": (made(both(shape=[1] * 63 + [4, 16])), "header_shape"),
    "031 no axes": (made(both(shape=[])), "header_shape"),
    "032 empty": (made(text_of(("", PAIR[A]), (B, PAIR[B]))), "header_name"),
    "032 nul": (made(text_of((A + "\\u0000", PAIR[A]), (B, PAIR[B]))), "header_name"),
    "032 twins": (
        made(text_of(("caf\u00e9", PAIR[A]), ("cafe\u0301", entry("F32", [12, 4], 256, 448)))),
        "header_name",
    ),
    "032 path": (made({"../../etc/passwd": PAIR[A], B: PAIR[B]}), "header_name"),
    "033 zip inside": (
        made({**PAIR, "x": entry("U8", [12], 448, 460)}, DATA + b"PK\x03\x04\x14\x00\x00\x00\x08\x00ab"),
        "header_dtype",
    ),
    "036 I32": (made(both(dtype="I32")), "header_dtype"),
    "036 BOOL": (made(both(dtype="BOOL")), "header_dtype"),
    "036 F64": (made(both(dtype="F64")), "header_dtype"),
    "036 C64": (made(both(dtype="C64")), "header_dtype"),
    "036 F8_E4M3": (made(both(dtype="F8_E4M3")), "header_dtype"),
    "036 F8_E5M2": (made(both(dtype="F8_E5M2")), "header_dtype"),
    "036 F4": (made(both(dtype="F4")), "header_dtype"),
    "036 U8": (made(both(dtype="U8")), "header_dtype"),
}


def met(attack: Watched, world: World, ada: Owner) -> None:
    """Every file of the attack's number, signed as it stands, falls in the header."""
    for name, (raw, reason) in FORMAT.items():
        if name.startswith(f"{attack.attack.number:03}"):
            case = world.case(ada, raw, artifacts={}) if len(raw) < 1 << 20 else None
            verdict = decide(case, Policy(), world.trust(ada)) if case else adapter(world, ada, raw).judged()
            fell(attack, verdict, "header", reason)


def test_attack_024_duplicate_tensor_name(attack: Watched, world: World, ada: Owner) -> None:
    met(attack, world, ada)


def test_attack_025_duplicate_metadata(attack: Watched, world: World, ada: Owner) -> None:
    met(attack, world, ada)


def test_attack_026_unknown_field_of_a_tensor(attack: Watched, world: World, ada: Owner) -> None:
    met(attack, world, ada)


def test_attack_027_white_space(attack: Watched, world: World, ada: Owner) -> None:
    met(attack, world, ada)


def test_attack_028_header_length(attack: Watched, world: World, ada: Owner) -> None:
    met(attack, world, ada)


def test_attack_029_offsets(attack: Watched, world: World, ada: Owner) -> None:
    met(attack, world, ada)


def test_attack_030_floods(attack: Watched, world: World, ada: Owner) -> None:
    met(attack, world, ada)


def test_attack_031_shapes(attack: Watched, world: World, ada: Owner) -> None:
    met(attack, world, ada)


def test_attack_032_names(attack: Watched, world: World, ada: Owner) -> None:
    met(attack, world, ada)


def test_attack_033_archive_inside_a_tensor(attack: Watched, world: World, ada: Owner) -> None:
    met(attack, world, ada)


def test_attack_036_types_that_are_no_weights(attack: Watched, world: World, ada: Owner) -> None:
    met(attack, world, ada)


def test_attack_023_bytes_that_no_manifest_names(attack: Watched, world: World, ada: Owner) -> None:
    """The other way round: bytes come that belong to another manifest of the same owner."""
    case, other = world.case(ada, factors(seed=1)), world.case(ada, factors(seed=2), plasmid_id="other")
    verdict = decide(replace(case, features=other.features), Policy(), world.trust(ada))
    fell(attack, verdict, "chunks and hash", "hash_mismatch")
