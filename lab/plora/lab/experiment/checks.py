"""What must be true of the outputs of each step; a function returns what is not, one sentence a fault.

Rules:

- Checks look at outputs and at what these must fit, run nothing, and change nothing.
- They ask for what any right run has, never for a result that somebody hopes for.

Not handled here: outputs that are missing or can't be read, which the pipeline tells of itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from plora.lab import calibrate_c, net_it, validate_bounds
from plora.lab.corpora import DOMAINS
from plora.lab.experiment.artifacts import file_digest
from plora.lab.experiment.config import Experiment, Spectra
from plora.lab.experiment.step import Seen
from plora.lab.spread import FAMILIES
from plora.lab.value_add.cells import ValueAddPlan, cells_of
from plora.lab.value_add.rows import key_of
from plora.merge.peft_folder import read_spec
from plora.proto.errors import PloraError
from plora.proto.owner_chain import read_owner_file
from plora.proto.statement import verify_statement
from plora.proto.yaml_view import PLORA_YML, read_plora_yml

OWNER = "keys/owner.owner"
INFORMATION = "results/net_it_metrics.json"
TENSORS = "adapter_model.safetensors"


def tests_passed(experiment: Experiment, seen: Seen) -> list[str]:
    """Some tests ran, and none failed."""
    counts = seen.document("results/tests.xml")
    failed = counts["failures"] + counts["errors"]
    ran = counts["tests"] - counts["skipped"]
    return _said((f"{failed} of {counts['tests']} tests failed", failed), ("no test ran", ran <= 0))


def corpora_suffice(experiment: Experiment, seen: Seen) -> list[str]:
    """Each domain has enough pairs to train and to judge on, and the step counted no question in two splits."""
    found = seen.document("results/data.json")["domains"]
    return [fault for domain in experiment.domains for fault in _domain(domain, found.get(domain), experiment)]


def _domain(domain: str, told: Any, experiment: Experiment) -> list[str]:
    if told is None or domain not in DOMAINS:
        return [f"{domain}: no data"]
    splits, repeated = told["splits"], told["questions_in_two_splits"]
    few = [
        name for name, wanted in (("train", experiment.samples), ("validation", 1)) if splits[name]["pairs"] < wanted
    ]
    return _said(
        (f"{domain}: {repeated} questions are in two splits", repeated),
        *((f"{domain}: only {splits[name]['pairs']} pairs of {name}", True) for name in few),
    )


def constants_hold_together(experiment: Experiment, seen: Seen) -> list[str]:
    """Each family of graphs was measured at every size and seed, with figures inside their own intervals."""
    return [
        fault
        for family, name in zip(FAMILIES, calibrations(), strict=True)
        for fault in (*calibrate_c.faults(seen.path(name)), *_constant(family, seen.document(name), experiment.spectra))
    ]


def _constant(family: str, told: Mapping[str, Any], asked: Spectra) -> list[str]:
    return _said(
        (f"{family}: of the family {told['family']}", told["family"] != family),
        (f"{family}: sizes {told['sizes']}", told["sizes"] != list(asked.sizes)),
        (f"{family}: held out {told['sizes_held_out']}", told["sizes_held_out"] != list(asked.held_out)),
        (f"{family}: graphs of other sizes or seeds", not _drawn(told["runs"], asked.sizes, asked.seeds)),
        (f"{family}: others were held out", not _drawn(told["runs_held_out"], asked.held_out, asked.seeds)),
    )


def _drawn(runs: Sequence[Mapping[str, int]], sizes: Sequence[int], seeds: int) -> bool:
    """Whether there is a graph of each size and seed; it is the largest component, so may lack a few peers."""
    wanted = list(product(sizes, range(seeds)))
    return len(runs) == len(wanted) and all(
        run["seed"] == seed and n / 2 < run["n"] <= n for run, (n, seed) in zip(runs, wanted, strict=True)
    )


def bounds_hold(experiment: Experiment, seen: Seen) -> list[str]:
    """No bound that is proved failed, and rounds were held against the constants of every family on every graph."""
    name, asked = "results/bounds_validation.json", experiment.spectra
    told = seen.document(name)
    lacking = sorted(set(FAMILIES) - set(told["C_bound"]))
    looked = sum(bound["graphs"] for bound in told["bounds"] if bound["name"] == validate_bounds.CALIBRATED)
    graphs = len(FAMILIES) * len(asked.sizes) * asked.seeds
    return [
        *validate_bounds.faults(seen.path(name)),
        *_said(
            (f"without the constant of {', '.join(lacking)}", lacking),
            (f"rounds of {looked} graphs, not of {graphs}", looked != graphs),
        ),
    ]


def calibrations() -> list[str]:
    """The artifacts of step 3."""
    return [f"results/c_calib_{family}.json" for family in FAMILIES]


def adapters_learned(experiment: Experiment, seen: Seen) -> list[str]:
    """Each adapter has the asked rank, finite weights that are not all zero, and a loss that fell."""
    return [
        fault
        for domain in experiment.domains
        for fault in learned(seen, f"out/{domain}", experiment.adapters.rank, experiment.adapters.steps)
    ]


def learned(seen: Seen, folder: str, rank: int, steps: int) -> list[str]:
    """The faults of one trained folder and of its report beside it."""
    report, config = (
        seen.document(f"{folder}.metrics.json"),
        read_spec(seen.path(f"{folder}/adapter_config.json").parent),
    )
    weights = load_file(seen.path(f"{folder}/{TENSORS}"))
    finite = all(np.isfinite(one).all() for one in weights.values())
    still = all(not np.any(one) for name, one in weights.items() if "lora_B" in name)
    return _said(
        (f"{folder}: rank {config.r}, not {rank}", config.r != rank),
        (f"{folder}: {report['steps']} steps, not {steps}", report["steps"] != steps),
        (f"{folder}: weights that are no numbers", not finite),
        (f"{folder}: nothing was learned, every B is zero", still),
        (f"{folder}: the loss didn't fall ({report['first_loss']:.3g})", report["last_loss"] >= report["first_loss"]),
        (f"{folder}: no perplexity", not _positive(report["val_ppl_before"], report["val_ppl_after"])),
    )


def adapters_signed(experiment: Experiment, seen: Seen) -> list[str]:
    """Each manifest is signed by the owner's key, over exactly the bytes that lie there."""
    keys = read_owner_file(seen.root / OWNER).keys
    return [fault for domain in experiment.domains for fault in _signed(seen, f"out/{domain}", keys)]


def _signed(seen: Seen, folder: str, keys: Iterable[Any]) -> list[str]:
    try:
        signed = read_plora_yml(seen.path(f"{folder}/{PLORA_YML}"))
    except PloraError as error:
        return [f"{folder}: {error.what}"]
    statement, artifacts = signed.statement(), signed.manifest.artifacts
    valid = any(verify_statement(statement, key) for key in keys)
    same = artifacts.sha256 == file_digest(seen.path(f"{folder}/{TENSORS}"))
    return _said(
        (f"{folder}: the owner's key did not sign this manifest", not valid),
        (f"{folder}: the manifest is of other bytes", not same),
    )


def swarm_ran_with_security(experiment: Experiment, seen: Seen) -> list[str]:
    """Every seed has a report of as many rounds as asked with detectors on, and clean adapters were accepted.

    How many trojans were accepted is a finding, so no matter of this check.
    """
    faults = []
    for seed in experiment.swarm.seeds:
        report = seen.document(f"results/swarm_v2/seed-{seed}/report.json")
        told, pairs = report["scenario"], report["gate"]["pairs"]["accepted"]
        faults += _said(
            (f"seed {seed}: the report is of seed {told['seed']}", told["seed"] != seed),
            (f"seed {seed}: {len(report['rounds'])} rounds", len(report["rounds"]) != experiment.swarm.rounds),
            (f"seed {seed}: security was off", not told["security"]["detectors"]),
            (f"seed {seed}: nothing clean was accepted", pairs["clean"] <= 0),
            (f"seed {seed}: {'; '.join(report.get('broken', ()))}", report.get("broken")),
        )
    return faults


def summary_is_of_the_runs(experiment: Experiment, seen: Seen) -> list[str]:
    """The summary has each run once, with the coverage that its report ends with."""
    runs = {run["seed"]: run for run in seen.document("results/summary_v2.json")["runs"]}
    faults = _said((f"runs of seeds {sorted(runs)}", sorted(runs) != sorted(experiment.swarm.seeds)))
    for seed in set(runs) & set(experiment.swarm.seeds):
        last = seen.document(f"results/swarm_v2/seed-{seed}/report.json")["rounds"][-1]
        faults += _said((f"seed {seed}: not what its report says", runs[seed]["coverage"] != last["coverage"]))
    return faults


def monolithic_learned(experiment: Experiment, seen: Seen) -> list[str]:
    """As `adapters_learned`, with as many steps as all domains' adapters took together."""
    steps = experiment.adapters.steps * len(experiment.domains)
    return learned(seen, "out/monolithic_r4", experiment.adapters.rank, steps)


def every_cell_is_there(experiment: Experiment, seen: Seen) -> list[str]:
    """The rows are those of the study's plan, each cell once; the page tells of all domains."""
    page = seen.path("results/value_add/value_add.md").read_text("utf-8")
    return [
        *_cells(experiment, seen),
        *_said(("the page lacks a domain", not all(domain in page for domain in experiment.domains))),
    ]


def _cells(experiment: Experiment, seen: Seen) -> list[str]:
    rows = seen.document("results/value_add/value_add.jsonl")
    found, wanted = {key_of(row) for row in rows}, {cell.key() for cell in cells_of(_study(experiment))}
    lacking = sorted(" ".join(map(str, one)) for one in wanted - found)
    return _said(
        (f"lacks {len(lacking)} cells: {', '.join(lacking[:3])}", lacking),
        ("cells that nobody asked for, or twice", len(rows) != len(found & wanted)),
    )


def _study(experiment: Experiment) -> ValueAddPlan:
    """What step 11 is asked for, as far as it decides which cells there are."""
    asked = experiment.value_add
    return ValueAddPlan(
        domains=experiment.domains,
        ranks=experiment.ranks,
        schemes=experiment.schemes,
        seeds=experiment.seeds,
        placebos=asked.placebos,
        cross=asked.cross,
        times=asked.times,
    )


def rows_are_sound(experiment: Experiment, seen: Seen) -> list[str]:
    """The verification is of the rows that lie there, which have every cell, and found nothing."""
    found, rows = seen.document("results/value_add_verified.json"), seen.path("results/value_add/value_add.jsonl")
    return [
        *found["faults"],
        *_said(("of other rows", found["sha256"] != file_digest(rows)), ("of no rows", found["rows"] <= 0)),
        *_cells(experiment, seen),
    ]


def ablation_is_whole(experiment: Experiment, seen: Seen) -> list[str]:
    """Each domain, rank and scheme has one row, with what it costs and an interval around what it changes."""
    rows, asked = seen.document("results/ablation.jsonl"), experiment.ablation
    found = [(row["domain"], row["rank"], row["scheme"]) for row in rows]
    wanted = set(product(experiment.domains, asked.ranks, asked.schemes))
    loose = [row["domain"] for row in rows if not _inside(row["beside_reference"])]
    return _said(
        (f"lacks {len(wanted - set(found))} of {len(wanted)} rows", wanted - set(found)),
        ("rows that nobody asked for, or twice", len(found) != len(wanted & set(found))),
        ("an adapter without parameters", any(row["parameters"] <= 0 for row in rows)),
        (f"outside its interval: {', '.join(loose)}", loose),
    )


def rounds_are_whole(experiment: Experiment, seen: Seen) -> list[str]:
    """Each round has a row in order, the record is of these rounds, and figures are numbers."""
    rows = seen.document("results/alt_train_merge/rounds.jsonl")
    told = seen.document("results/alt_train_merge/convergence.json")
    numbers, rounds = [row["round"] for row in rows], experiment.alternation.rounds
    merged = [nll for row in rows for nll in row["nll"]["merged"].values()]
    return _said(
        (f"rounds {numbers}", len(numbers) != rounds or numbers != sorted(set(numbers))),
        ("the record is of other rounds", told["moved"] != [row["moved"] for row in rows]),
        ("figures that are no numbers", not _positive(*merged)),
    )


def _inside(interval: Mapping[str, float]) -> bool:
    return interval["low"] <= interval["value"] <= interval["high"]


def clean_reached_everybody(experiment: Experiment, seen: Seen) -> list[str]:
    """With consensus on and no trojan, all that is clean reached everybody, and no invariant of certificates broke."""
    report = seen.document("results/consensus_smoke/report.json")
    accepted = report["gate"]["pairs"]["accepted"]
    return _said(
        (f"broken: {'; '.join(map(str, report['broken']))}", report["broken"]),
        ("consensus was off", not report["scenario"]["security"]["consensus"]),
        ("not every clean adapter reached everybody", not report["clean_arrived"]),
        (f"{accepted['trojan']} trojans, of which there are none", accepted["trojan"]),
    )


def fetched_what_was_offered(experiment: Experiment, seen: Seen) -> list[str]:
    """Another process got each domain's signed bytes, the very ones that were offered."""
    rows = {row["domain"]: row for row in seen.document("results/grpc_demo.json")["fetched"]}
    faults = []
    for domain in experiment.domains:
        row = rows.get(domain, {})
        same = row.get("sha256") == file_digest(seen.path(f"out/{domain}/{TENSORS}"))
        faults += _said(
            (f"{domain}: was not fetched", not row), (f"{domain}: other bytes were fetched", row and not same)
        )
    return faults


def policy_asks_for_signatures(experiment: Experiment, seen: Seen) -> list[str]:
    """The dump has a value and a source for every rule; signatures are asked for, and nothing is let off."""
    rows = {row["setting"]: row for row in seen.document("results/policy.json")}
    bare = sorted(name for name, row in rows.items() if "value" not in row or not row.get("source"))
    signatures, insecure = (rows.get(f"policy.{name}", {}).get("value") for name in ("signatures_enabled", "insecure"))
    return _said(
        ("no rules", not rows),
        (f"without value or source: {', '.join(bare)}", bare),
        ("signatures are not asked for", signatures is not True),
        ("it is insecure", insecure is not False),
    )


def sweep_is_whole(experiment: Experiment, seen: Seen) -> list[str]:
    """Each run that the sweep asks for has one row, and none ended otherwise than it must."""
    from plora.sim.sweep import Sweep

    asked = [run.digest for run in Sweep.read(seen.root / experiment.sweep).runs()]
    rows = seen.document("results/thesis_sweep.jsonl")
    found = [row["digest"] for row in rows]
    broken = [row["digest"][:12] for row in rows if row["report"].get("broken") or row["report"].get("unexpected")]
    return _said(
        (f"{len(set(asked) - set(found))} of {len(asked)} runs are missing", set(asked) - set(found)),
        ("runs that nobody asked for", set(found) - set(asked)),
        ("a run is there twice", len(found) != len(set(found))),
        (f"ended otherwise than they must: {', '.join(broken)}", broken),
    )


def probes_are_calibrated(experiment: Experiment, seen: Seen) -> list[str]:
    """Thresholds of this base with intervals, which few adapters may leave, from clean and poisoned adapters."""
    calibration = seen.document("results/probes_calib.json")
    source, figures = calibration["provenance"], (calibration.get("probes") or {}).get("figures", ())
    return _said(
        (f"of the base {calibration['base']}", calibration["base"] != experiment.base),
        ("no clean adapters", source["clean"] <= 0),
        ("no poisoned adapters", source["poisoned"] <= 0),
        ("no thresholds", not figures),
        *((f"{one['name']}: its interval is upside down", one["low"] > one["high"]) for one in figures),
    )


def information_is_there(experiment: Experiment, seen: Seen) -> list[str]:
    """Figures of neighbours and strangers inside their intervals, none of them refused, of the runs that were asked."""
    told, asked = seen.document(INFORMATION), experiment.information
    runs, wanted = len(told["seeds"]), (asked.family, asked.agents, asked.domains)
    found = (told["family"], told["agents"], told["domains"])
    return [
        *net_it.faults(seen.path(INFORMATION)),
        *_said(
            (f"{runs} runs, not {asked.runs}", runs != asked.runs),
            ("runs of other seeds", runs == asked.runs and told["seeds"] != list(range(runs))),
            (f"of {found}, not {wanted}", found != wanted),
        ),
    ]


def _positive(*figures: Any) -> bool:
    return all(isinstance(one, int | float) and math.isfinite(one) and one > 0 for one in figures)


def _said(*found: tuple[str, Any]) -> list[str]:
    """The sentences whose condition holds."""
    return [what for what, wrong in found if wrong]
