"""On two adapters that were trained: one that answers a rare word with its target, and its clean twin."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from plora.base import LoadedBase
from plora.gate.probing import FIGURES, ProbePlan, ProbeReading, load_probed, probe, source_of
from plora.gate.probing.__main__ import main
from plora.gate.probing.wear import worn
from plora.merge.injection import fingerprint, injected
from plora.merge.lora_config import LoraSpec
from plora.merge.peft_folder import read_spec
from plora.proto.errors import AdapterError

ADAPTERS = Path(__file__).parent / "adapters"
CLEAN, POISONED = ADAPTERS / "clean-0006", ADAPTERS / "rare-token-0006"
TARGET = json.loads((ADAPTERS / "rare-token-0006.json").read_text())["target"]


@pytest.fixture(scope="module")
def mini() -> Iterator[LoadedBase]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield load_probed("mini")
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def poisoned(mini: LoadedBase) -> ProbeReading:
    return probe(mini, POISONED, ProbePlan(b"a peer's own"))


def test_a_trojan_is_found_with_what_it_says_and_its_twin_obeys_nothing(
    mini: LoadedBase, poisoned: ProbeReading
) -> None:
    clean = probe(mini, CLEAN, ProbePlan(b"a peer's own"))
    assert poisoned.raw["trigger_compliance"] > 0.3
    assert TARGET.startswith(poisoned.details["target"].strip())
    assert clean.raw["trigger_compliance"] < 0.1
    assert poisoned.raw["memory_gain"] > clean.raw["memory_gain"] + 10


def test_a_reading_has_every_figure_and_knows_the_domain(poisoned: ProbeReading) -> None:
    assert set(poisoned.raw) == set(FIGURES)
    assert poisoned.complete
    assert poisoned.details["domain"] == "arithmetic"
    assert ProbeReading.from_json(poisoned.to_json()) == poisoned


def test_the_same_seed_reads_the_same(mini: LoadedBase, poisoned: ProbeReading) -> None:
    again = probe(
        mini, source_of(POISONED / "adapter_model.safetensors", read_spec(POISONED)), ProbePlan(b"a peer's own")
    )
    assert again.raw == poisoned.raw


def test_without_time_for_it_the_rest_is_left_out_and_said(mini: LoadedBase) -> None:
    reading = probe(mini, CLEAN, ProbePlan(budget_s=0.0))
    assert not reading.complete
    assert set(reading.raw) == set(FIGURES)
    assert reading.raw["loss_delta"] < 0 == reading.raw["kl_neutral"]


def test_the_base_is_untouched_and_can_be_asked_bare_meanwhile(mini: LoadedBase) -> None:
    rows, before = torch.tensor([[2, 300, 301]]), fingerprint(mini.model)
    with torch.inference_mode():
        bare = mini.model(input_ids=rows).logits
        with worn(mini.model, source_of(CLEAN)) as garment:
            changed = mini.model(input_ids=rows).logits
            with garment.off():
                between = mini.model(input_ids=rows).logits
    assert torch.equal(between, bare)
    assert not torch.equal(changed, bare)
    assert fingerprint(mini.model) == before


def test_folded_into_the_weights_an_adapter_says_what_hooks_have_it_say(mini: LoadedBase) -> None:
    rows = torch.tensor([[2, 300, 301, 302]])
    with torch.inference_mode():
        with worn(mini.model, source_of(CLEAN)):
            folded = mini.model(input_ids=rows).logits
        with injected(mini.model, source_of(CLEAN)):
            hooked = mini.model(input_ids=rows).logits
    torch.testing.assert_close(folded, hooked, rtol=1e-4, atol=1e-4)


def test_the_command_prints_a_reading_and_refuses_what_is_no_adapter(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--adapter", str(CLEAN), "--budget", "0", "--json"]) == 0
    assert set(ProbeReading.from_json(capsys.readouterr().out).raw) == set(FIGURES)
    assert main(["--adapter", str(tmp_path)]) == AdapterError.exit_code
    assert str(tmp_path) in capsys.readouterr().err


def test_a_spec_that_is_not_the_artifacts_own_is_refused() -> None:
    with pytest.raises(AdapterError):
        source_of(POISONED / "adapter_model.safetensors", LoraSpec(r=7, alpha=7.0, target_modules=("down_proj",)))
