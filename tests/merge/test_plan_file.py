"""Plans in YAML: what they mean for each module, and that whatever means nothing is refused with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from plora.merge.plan import MergePlan, Method
from plora.merge.plan_file import FOREIGN, PLAN_BYTES_MAX, parse_plan, read_plan
from plora.proto.errors import ConfigError

FILE = Path("plans/p.yaml")
MODULES = [
    *(f"model.layers.{layer}.self_attn.q_proj" for layer in range(5)),
    *(f"model.layers.{layer}.mlp.up_proj" for layer in range(5)),
]
TWO = "models: [{model: a, parameters: {weight: 2}}, {model: b, parameters: {weight: 1}}]\n"


def plan_of(text: str, modules: list[str] = MODULES) -> MergePlan:
    return parse_plan(text.encode(), FILE).plan_for(modules)


def weights_in(plan: MergePlan, layer: int) -> tuple[float, ...] | None:
    return plan.choice(f"model.layers.{layer}.mlp.up_proj").weights


def test_folders_are_meant_from_the_file() -> None:
    assert parse_plan(b"models: [{model: a}, {model: /b}]", FILE).models == (Path("plans/a"), Path("/b"))


def test_without_parameters_it_is_the_plain_merge() -> None:
    assert plan_of("models: [{model: a}]") == MergePlan()


def test_methods_and_bounds() -> None:
    plan = plan_of(TWO + "merge_method: ties\nparameters: {density: 0.25, lambda: 1.5, seed: 7, max_total_fro: 3}")
    assert plan.method == Method("full", "ties", density=0.25, scaling=1.5, seed=7)
    assert (plan.weights, plan.trust.max_total_fro, plan.overrides) == ((2.0, 1.0), 3, ())


def test_the_first_filter_that_covers_a_module_decides() -> None:
    plan = plan_of(
        """
models: [{model: a}]
parameters:
  rank_max:
    - {filter: layers.1-2.mlp, value: 2}
    - {filter: mlp, value: 3}
    - {filter: layers.0-2.mlp, value: 4}
    - {value: 5}
"""
    )
    assert [plan.choice(f"model.layers.{n}.mlp.up_proj").rank_max for n in range(5)] == [3, 2, 2, 3, 3]
    assert [plan.choice(f"model.layers.{n}.self_attn.q_proj").rank_max for n in range(5)] == [5] * 5


def test_filters_of_several_parameters_meet_in_one_module() -> None:
    plan = plan_of(
        """
models: [{model: a}]
merge_method: core
parameters:
  density: [{filter: mlp, value: 0.1}, {value: 0.9}]
  scaling: [{filter: layers.3, value: 2}, {value: 1}]
"""
    )
    got = {name: plan.choice(name).method for name in MODULES}
    assert (got[MODULES[8]].density, got[MODULES[8]].scaling) == (0.1, 2)
    assert (got[MODULES[3]].density, got[MODULES[3]].scaling) == (0.9, 2)
    assert (got[MODULES[9]].density, got[MODULES[9]].scaling) == (0.1, 1)
    assert {method.rule for method in got.values()} == {"ties"}


def test_a_gradient_runs_over_the_layers() -> None:
    text = "models: [{model: a, parameters: {weight: [1, 0, 0.5]}}, {model: b, parameters: {weight: 1}}]"
    assert [weights_in(plan_of(text), layer) for layer in range(5)] == [
        (1.0, 1.0),
        (0.5, 1.0),
        (0.0, 1.0),
        (0.25, 1.0),
        (0.5, 1.0),
    ]


def test_weights_are_divided_by_their_sum_where_mergekit_does_it() -> None:
    assert plan_of(TWO).weights == (2.0, 1.0)
    assert plan_of(TWO + "parameters: {normalize: true}").weights == pytest.approx((2 / 3, 1 / 3))
    assert plan_of(TWO + "merge_method: linear").weights == pytest.approx((2 / 3, 1 / 3))
    assert plan_of(TWO + "merge_method: linear\nparameters: {normalize: false}").weights == (2.0, 1.0)


def test_a_rule_brings_a_space_in_which_it_works() -> None:
    plan = plan_of("models: [{model: a}]\nparameters: {rule: [{filter: mlp, value: ties}, {value: linear}]}")
    assert plan.choice(MODULES[5]).method.rule == "ties"
    assert plan.choice(MODULES[5]).method.space != plan.choice(MODULES[0]).method.space == "factors"


def test_what_one_module_has_is_not_that_of_another_whose_name_ends_like_it() -> None:
    modules = ["aa.q", "decoder.layers.0.q", "vision.decoder.layers.0.q"]
    for first, expected in ((3, [3, 4, 2]), (2, [2, 4, 2])):
        ranks = f"[{{filter: vision, value: 2}}, {{filter: aa, value: {first}}}, {{value: 4}}]"
        plan = plan_of(f"models: [{{model: a}}]\nparameters: {{rank_max: {ranks}}}", modules)
        assert [plan.choice(module).rank_max for module in modules] == expected


ONE_DENSITY = "models: [{model: a, parameters: {density: 0.2}}, {model: b}]\nmerge_method: ties"


def test_a_model_without_a_density_has_that_of_the_merge() -> None:
    assert plan_of(ONE_DENSITY.replace("{density: 0.2}", "{}")).densities is None
    assert plan_of(ONE_DENSITY).densities == (0.2, 0.5)
    assert plan_of(ONE_DENSITY + "\nparameters: {density: 0.7}").densities == (0.2, 0.7)


def test_densities_differ_by_model_and_module() -> None:
    plan = plan_of(
        """
merge_method: core
models:
  - model: a
    parameters:
      density: [{filter: mlp, value: 0.1}, {value: [0.2, 1]}]
  - {model: b, parameters: {density: 0.3}}
  - {model: c}
parameters:
  density: [{filter: layers.3, value: 0.9}, {value: 0.8}]
"""
    )
    assert plan.choice(MODULES[8]).densities == (0.1, 0.3, 0.9)
    assert plan.choice(MODULES[2]).densities == pytest.approx((0.6, 0.3, 0.8))


REFUSED = [
    ("models: [{model: a}]\nmerge_metod: x", "line 2, merge_metod: unknown key; did you mean 'merge_method'?"),
    (
        "models: [{model: a}]\nmerge_method: slerp",
        "line 2, merge_method: 'slerp' is no way to merge adapters; write one",
    ),
    ("models: [{model: a}]\nmerge_method: [ties]", 'line 2, merge_method: ["ties"] is no way'),
    ("merge_method: ties", "line 1, models: must list 1 to 1024 adapters"),
    ("models: []", "line 1, models: must list 1 to 1024 adapters; write `- model: FOLDER` for each"),
    ("models:\n- a", "line 2, models.0: must be a map of names and values"),
    ("models:\n- parameters: {}", "line 2, models.0.model: must be an adapter's folder; write `model: FOLDER`"),
    ("models:\n- model: a\n  layer: 1", "line 3, models.0.layer: unknown key; known here: model, parameters"),
    ("models:\n- model: a\nbase_model: a", "line 2, models.0.model: the base is no adapter; leave it out of models"),
    ("[1]", "line 1: must be a map"),
    ("", "empty"),
    ("models: [{model: a}]\nbase_model: 3", "line 2, base_model: must be a name"),
    ("models: [{model: a}]\ndtype: bfloat16", "line 2, dtype: 'bfloat16' is not what is written: float32"),
    (
        "models: [{model: a}]\nparameters:\n  density: 1.5",
        "line 3, parameters.density: 1.5 is not a number over 0 and at",
    ),
    ("models: [{model: a}]\nparameters:\n  lambda: x", "line 3, parameters.lambda: 'x' is not a number"),
    ("models: [{model: a}]\nparameters: {lambda: 1, scaling: 1}", "parameters.scaling: is the same as scaling"),
    ("models: [{model: a}]\nparameters: {rule: majority}", "parameters.rule: 'majority' is not one of"),
    ("models: [{model: a}]\nparameters: {rank_max: true}", "parameters.rank_max: true is not an integer, 1 or more"),
    ("models: [{model: a}]\nparameters: {rank_max: [1, 2]}", "parameters.rank_max: [1, 2] is not an integer"),
    ("models: [{model: a}]\nparameters: {max_delta_fro: 0}", "parameters.max_delta_fro: 0 is not a number over 0"),
    ("models: [{model: a}]\nparameters: {normalize: 1}", "parameters.normalize: 1 is not true or false"),
    ("models: [{model: a, parameters: {weight: 1}}, {model: b}]", "models.1: has no weight, and another model has one"),
    (
        "models: [{model: a}]\nparameters:\n  density:\n  - {filter: mlp, value: 0.5}",
        "line 4, parameters.density: says nothing of the other modules; end the list by `- value: …`",
    ),
    (
        "models: [{model: a}]\nparameters:\n  density:\n  - {filter: attn, value: 0.5}\n  - value: 0.5",
        "line 4, parameters.density.0: filter 'attn' covers no module of these adapters; there are: layers, lm_head,",
    ),
    (
        "models: [{model: a}]\nparameters:\n  density:\n  - {filter: mlp}",
        "line 4, parameters.density.0: must have a value",
    ),
    (
        "models:\n- model: a\n  parameters:\n    density: 0",
        "line 4, models.0.parameters.density: 0 is not a number over 0 and at most 1",
    ),
    (
        "models:\n- model: a\n  parameters:\n    density: [0.5, 2]",
        "line 4, models.0.parameters.density: 2 is not a number over 0 and at most 1",
    ),
    ("models: [{model: a}]\nmerge_method: ties\nparameters: {space: tsv}", "doesn't work in space tsv"),
    (TWO.replace("2", "-1") + "parameters: {normalize: true}", "sum to 0; write normalize: false"),
    (TWO.replace("2", "0").replace("1", "0"), "weights must be finite and not all 0"),
    ("models: [{model: a, parameters: {weight: [0, 1]}}]", "a gradient over layers says nothing of module lm_head"),
    ("models: [{model: a}]\nmodels: []", "line 2: the key 'models' is given twice"),
    ("models: [{model: &x a}]", "line 1: an anchor is not allowed here"),
    *((f"models: [{{model: a}}]\n{key}: 1", f"line 2, {key}: {why}; {mend}") for key, (why, mend) in FOREIGN.items()),
]


@pytest.mark.parametrize(("text", "says"), REFUSED, ids=[text[-40:] for text, _ in REFUSED])
def test_what_means_nothing_is_refused_with_its_line(text: str, says: str) -> None:
    with pytest.raises(ConfigError) as refused:
        plan_of(text, [*MODULES, "lm_head"])
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml: No such file"):
        read_plan(tmp_path / "none.yaml")
    (tmp_path / "long.yaml").write_bytes(b"#" * (PLAN_BYTES_MAX + 1))
    with pytest.raises(ConfigError, match="the limit is"):
        read_plan(tmp_path / "long.yaml")
