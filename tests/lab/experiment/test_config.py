"""The configuration is strict, says what is wrong in one line, and the environment changes what it must."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from plora.lab.experiment.config import Experiment, digest, parse, read_config, step_environment, with_environment
from plora.proto.errors import ConfigError, UsageError

CONFIGS = Path(__file__).resolve().parents[3] / "config"


def dry() -> Experiment:
    return read_config(CONFIGS / "plora.dry.yml")


def test_both_experiments_are_as_the_specification_says() -> None:
    full = read_config(CONFIGS / "plora.full.yml")
    assert (dry().samples, dry().ranks, dry().dev_size, len(dry().seeds)) == (32, (1,), 256, 1)
    assert (full.samples, full.ranks, full.dev_size, full.seeds) == (1000, (4, 8, 16), 1024, (41, 42, 43))
    assert (dry().base, full.device) == ("mini", "auto")


def test_the_rule_was_fixed_beforehand_and_is_one() -> None:
    rules = [read_config(CONFIGS / f"plora.{name}.yml").rule for name in ("dry", "full", "findings")]
    assert rules[0] == rules[1] == rules[2]
    assert rules[0].model_dump() == {
        "t90_ratio_max": 1.25,
        "trojan_rate": 0.3,
        "trojan_accepted_upper_max": 0.05,
        "value_kept_lower_min": 0.70,
    }


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"sampels": 32}, "plora.yml, sampels: unknown setting; did you mean 'samples'?"),
        ({"zzz": 1}, "plora.yml, zzz: unknown setting; remove it; config/plora.dry.yml has every setting"),
        ({"samples": "many"}, "plora.yml, samples: input should be a valid integer, not 'many'; "),
        ({"samples": 0}, "plora.yml, samples: input should be greater than or equal to 1, not 0; "),
        ({"domains": ["legal", "law"]}, "plora.yml, domains.1: input should be 'arithmetic', 'legal' or 'medical', "),
        ({"rule": {"t90_ratio": 1.0}}, "plora.yml, rule.t90_ratio: unknown setting; did you mean 't90_ratio_max'?"),
        ({"samples": None}, "plora.yml, samples: input should be a valid integer, not None; "),
    ],
)
def test_what_is_wrong_is_said_in_one_line(change: dict[str, object], said: str) -> None:
    tree = yaml.safe_load((CONFIGS / "plora.dry.yml").read_text())
    with pytest.raises(ConfigError) as caught:
        parse({**tree, **change}, "plora.yml")
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


def test_a_missing_setting_is_named() -> None:
    tree = yaml.safe_load((CONFIGS / "plora.dry.yml").read_text())
    del tree["swarm"]["quorum"]
    with pytest.raises(ConfigError, match=r"plora.yml, swarm.quorum: missing setting; add it"):
        parse(tree, "plora.yml")


def test_a_file_that_is_not_there_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="make config-use-dry"):
        read_config(tmp_path / "plora.yml")


def test_the_call_goes_before_the_environment_and_that_before_the_file() -> None:
    said = {"PLORA_BASE_MODEL": "smollm2"}
    assert with_environment(dry(), {}).base == "mini"
    assert with_environment(dry(), said).base == "smollm2"
    assert with_environment(dry(), said, "google/gemma-3-1b-it").base == "google/gemma-3-1b-it"


def test_samples_device_and_budget_come_from_the_environment() -> None:
    full = read_config(CONFIGS / "plora.full.yml")
    found = with_environment(full, {"PLORA_SAMPLES": "64", "PLORA_FORCE_CPU": "1", "PLORA_LATENCY_BUDGET_MS": "40"})
    assert (found.samples, found.device, found.latency_budget_ms) == (64, "cpu", 40)
    assert with_environment(full, {"PLORA_SAMPLES": "5000", "PLORA_FORCE_CPU": "0"}) == full


@pytest.mark.parametrize(("name", "value"), [("PLORA_SAMPLES", "few"), ("PLORA_LATENCY_BUDGET_MS", "-1")])
def test_a_variable_that_means_nothing_is_refused(name: str, value: str) -> None:
    with pytest.raises(UsageError, match=name):
        with_environment(dry(), {name: value})


def test_steps_see_the_settings_and_no_cap_on_held_out_pairs() -> None:
    said = step_environment(dry(), {"PLORA_SAMPLES": "32", "HF_TOKEN": "hf_x", "PATH": "/bin"})
    assert "PLORA_SAMPLES" not in said
    assert (said["HF_TOKEN"], said["PATH"]) == ("hf_x", "/bin")
    assert (said["PLORA_FORCE_CPU"], said["HF_HUB_OFFLINE"]) == ("1", "1")
    assert said["PYTORCH_MPS_HIGH_WATERMARK_RATIO"] == "0.0"
    assert (
        step_environment(dry(), {"PYTORCH_MPS_HIGH_WATERMARK_RATIO": "0.7"})["PYTORCH_MPS_HIGH_WATERMARK_RATIO"]
        == "0.7"
    )


def test_any_setting_changes_the_digest() -> None:
    one = dry().model_dump(mode="json")
    assert digest(one) == digest(dry().model_dump(mode="json"))
    assert digest(one) != digest(one | {"samples": 33})
