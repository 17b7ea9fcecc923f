"""The steps of the experiment that there are, with the specification's numbers.

Not handled here: what each must leave (`plora.lab.experiment.checks`), when it runs (`plora.lab.experiment.pipeline`).

>>> [step.name for step in STEPS if step.number in (6, 7)]
['train-all', 'sign-all']
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from plora.lab.experiment import checks
from plora.lab.experiment.checks import OWNER, TENSORS
from plora.lab.experiment.config import Experiment
from plora.lab.experiment.step import Command, Step, To, needed
from plora.lab.hub_data import VARIABLE, HubSource, files_of, revision_of, sources_of
from plora.lab.validate_bounds import FIRST_SEED
from plora.proto.errors import ConfigError, UsageError
from plora.proto.home import Home, default_home

KEY = "keys/owner.pem"
MONOLITHIC = "out/monolithic_r4"
VALUE_ADD = "results/value_add"
ALTERNATION = "results/alt_train_merge"
STUDIED, ALTERNATED = "out/value_add", "out/alt_train_merge"
"""Where adapters and their scores are kept by their recipes, whatever asked for them."""

STUDIES = ("value_add.jsonl", "value_add.md", "summary.json")
TRAINING = ("domains", "samples", "dev_size", "adapters", "seeds", "device")
STUDY = ("domains", "schemes", "seeds", "samples", "dev_size", "value_add", "device", "latency_budget_ms")
SOURCES = ("*/plora/**/*.py", "tests/**/*.py", "pyproject.toml")
OWN_TESTS = "tests/lab/experiment"


GRAPHS = ("analysis", "base", "lab", "proto", "sim")
TRAINERS = ("base", "lab", "merge", "proto")
STUDIERS = ("analysis", *TRAINERS)
PEERS = ("base", "cli", "gate", "merge", "node", "proto")
SWARMS = ("analysis", *PEERS, "sim")
"""Rooms whose code steps run; a test holds them against what is imported."""


def _first(experiment: Experiment, root: Path) -> Sequence[int]:
    return experiment.seeds[:1]


def _all(experiment: Experiment, root: Path) -> Sequence[int]:
    return experiment.seeds


def _calibrated(experiment: Experiment, root: Path) -> Sequence[int]:
    return range(experiment.spectra.seeds)


def _validated(experiment: Experiment, root: Path) -> Sequence[int]:
    return range(FIRST_SEED, FIRST_SEED + experiment.spectra.seeds)


def _grown(experiment: Experiment, root: Path) -> Sequence[int]:
    from plora.lab.zoo.__main__ import seeds_of

    return seeds_of(experiment.zoo.seeds)


def _simulated(experiment: Experiment, root: Path) -> Sequence[int]:
    return experiment.swarm.seeds


def _swept(experiment: Experiment, root: Path) -> Sequence[int]:
    from plora.sim.sweep import Sweep

    return sorted({run.scenario.seed for run in Sweep.read(root / experiment.sweep).runs()})


def _informed(experiment: Experiment, root: Path) -> Sequence[int]:
    return range(experiment.information.runs)


def _peers_policy(environ: Mapping[str, str]) -> Sequence[Path]:
    return [Home(Path(environ["PLORA_HOME"]) if environ.get("PLORA_HOME") else default_home()).config]


def _datasets(environ: Mapping[str, str]) -> Sequence[Path]:
    """The file that names datasets, and those of their files that lie here."""
    told = [Path(environ[VARIABLE])] if environ.get(VARIABLE) else []
    return [*told, *(path for source in _named_datasets(environ) for path in files_of(source))]


def _revisions(environ: Mapping[str, str]) -> Sequence[str]:
    sources = (source for source in _named_datasets(environ) if not source.local)
    return [f"{source.dataset}@{revision_of(source, environ)}" for source in sources]


def _named_datasets(environ: Mapping[str, str]) -> Sequence[HubSource]:
    """None where the file that names them is wrong: the step's command says how."""
    try:
        return [source for _, source in sorted(sources_of(environ).items())]
    except ConfigError:
        return []


def _tests(experiment: Experiment, to: To) -> Sequence[Command]:
    asked = experiment.tests
    words = ["python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", str(asked.jobs), "-m", asked.marks]
    return [Command((*words, f"--ignore={OWN_TESTS}", f"--junitxml={to('results/tests.xml')}", *asked.paths))]


def _data(experiment: Experiment, to: To) -> Sequence[Command]:
    domains = _listed(experiment.domains)
    return [Command(("python", "-m", "plora.lab.prepare_data", "--domains", domains, "--out", to("results/data.json")))]


def _constants(experiment: Experiment, to: To) -> Sequence[Command]:
    asked = experiment.spectra
    words = ("python", "-m", "plora.lab.calibrate_c", "--sizes", *map(str, asked.sizes))
    words += ("--held-out", *map(str, asked.held_out), "--seeds", str(asked.seeds))
    return [Command((*words, "--results", to("results")))]


def _bounds(experiment: Experiment, to: To) -> Sequence[Command]:
    asked = experiment.spectra
    words = ("python", "-m", "plora.lab.validate_bounds", "--sizes", *map(str, asked.sizes))
    return [Command((*words, "--seeds", str(asked.seeds), "--results", to("results")))]


def _probes(experiment: Experiment, to: To) -> Sequence[Command]:
    zoo, base = to("zoo"), experiment.base
    grow = ("python", "-m", "plora.lab.zoo", "--base", base, "--kinds", experiment.zoo.kinds)
    calibrate = ("python", "-m", "plora.lab.calibrate", "--base", base, "--zoo", zoo, "--aims", experiment.zoo.aims)
    return [
        Command((*grow, "--seeds", experiment.zoo.seeds, "--out", zoo)),
        Command((*calibrate, "--out", to("results/probes_calib.json"))),
    ]


def _train(experiment: Experiment, to: To) -> Sequence[Command]:
    asked = experiment.adapters
    words: tuple[str, ...] = ("python", "-m", "plora.lab.train", "--json-progress", "--base", experiment.base)
    words += ("--rank", str(asked.rank), "--scheme", asked.scheme, "--steps", str(asked.steps))
    words += ("--samples", str(experiment.samples), "--validation", str(experiment.dev_size))
    words += ("--seed", str(experiment.seeds[0]))
    return [Command((*words, "--domain", name, "--out", to(f"out/{name}"))) for name in experiment.domains]


def _sign(experiment: Experiment, to: To) -> Sequence[Command]:
    return [Command(("plora", "sign", to(f"out/{name}"), "--key", KEY)) for name in experiment.domains]


def _monolithic(experiment: Experiment, to: To) -> Sequence[Command]:
    asked = experiment.adapters
    words: tuple[str, ...] = ("python", "-m", "plora.lab.monolithic", "--base", experiment.base)
    words += ("--domains", _listed(experiment.domains), "--rank", str(asked.rank), "--scheme", asked.scheme)
    words += ("--steps", str(asked.steps), "--samples", str(experiment.samples), "--seed", str(experiment.seeds[0]))
    return [Command((*words, "--validation", str(experiment.dev_size), "--out", to(MONOLITHIC)))]


def _value_add(experiment: Experiment, to: To) -> Sequence[Command]:
    asked = experiment.value_add
    words = _study("plora.lab.value_add", experiment, experiment.ranks, experiment.schemes)
    words += ("--times", _listed(asked.times))
    words += () if asked.placebos else ("--skip-placebos",)
    words += () if asked.cross else ("--skip-cross",)
    return [Command((*words, "--out", to(VALUE_ADD)))]


def _ablation(experiment: Experiment, to: To) -> Sequence[Command]:
    words = _study("plora.lab.ablation", experiment, experiment.ablation.ranks, experiment.ablation.schemes)
    return [Command((*words, "--out", to("results/ablation.jsonl")))]


def _study(module: str, experiment: Experiment, ranks: Sequence[int], schemes: Sequence[str]) -> tuple[str, ...]:
    """What value-add and ablation have in common; both keep adapters by recipe in one place."""
    words: tuple[str, ...] = ("python", "-m", module, "--base", experiment.base)
    words += ("--domains", _listed(experiment.domains), "--ranks", _listed(ranks), "--schemes", _listed(schemes))
    words += ("--seeds", _listed(experiment.seeds), "--samples", str(experiment.samples))
    words += ("--dev-size", str(experiment.dev_size), "--steps", str(experiment.value_add.steps))
    return (*words, "--adapters", STUDIED)


def _listed(values: Sequence[object]) -> str:
    return ",".join(map(str, values))


def _alternation(experiment: Experiment, to: To) -> Sequence[Command]:
    asked, adapters = experiment.alternation, experiment.adapters
    words: tuple[str, ...] = ("python", "-m", "plora.lab.alternate", "--base", experiment.base)
    words += ("--domains", _listed(experiment.domains), "--rounds", str(asked.rounds), "--steps", str(asked.steps))
    words += ("--rank", str(adapters.rank), "--scheme", adapters.scheme, "--seed", str(experiment.seeds[0]))
    words += ("--samples", str(experiment.samples), "--dev-size", str(experiment.dev_size))
    return [Command((*words, "--adapters", ALTERNATED, "--out", to(ALTERNATION)))]


def _verify(experiment: Experiment, to: To) -> Sequence[Command]:
    words = ("python", "-m", "plora.lab.verify_value_add", f"{VALUE_ADD}/value_add.jsonl")
    return [Command((*words, "--out", to("results/value_add_verified.json")))]


def _information(experiment: Experiment, to: To) -> Sequence[Command]:
    asked = experiment.information
    words: tuple[str, ...] = ("python", "-m", "plora.lab.net_it", "--family", asked.family)
    words += ("--agents", str(asked.agents), "--domains", str(asked.domains), "--seeds", str(asked.runs))
    return [Command((*words, "--surrogates", str(asked.surrogates), "--out", to(checks.INFORMATION)))]


def _trained(experiment: Experiment) -> list[str]:
    """What training leaves of each domain."""
    return [name for domain in experiment.domains for name in _folder(f"out/{domain}")]


def _adapters(experiment: Experiment) -> list[str]:
    """What is in the folders of adapters, which hold nothing else: their reports lie beside them."""
    return [name for name in (*_trained(experiment), *_folder(MONOLITHIC)) if not name.endswith(".metrics.json")]


def _folder(name: str) -> list[str]:
    """What training leaves of one adapter."""
    return [f"{name}/{TENSORS}", f"{name}/adapter_config.json", f"{name}.metrics.json"]


def _signed(experiment: Experiment) -> list[str]:
    return [f"out/{domain}/plora.yml" for domain in experiment.domains]


def _calibrations(experiment: Experiment) -> list[str]:
    return checks.calibrations()


def _report(seed: int) -> str:
    return f"results/swarm_v2/seed-{seed}"


def _reports(experiment: Experiment) -> list[str]:
    return [f"{_report(seed)}/report.json" for seed in experiment.swarm.seeds]


def _sim(experiment: Experiment) -> tuple[str, ...]:
    asked = experiment.swarm
    words: tuple[str, ...] = ("plora", "sim", "--quiet", "--graph", "er", "--graph_p", str(asked.graph_p))
    words += ("--agents", str(asked.agents), "--rounds", str(asked.rounds))
    return (*words, "--consensus", "on", "--quorum", str(asked.quorum))


def _swarm(experiment: Experiment, to: To) -> Sequence[Command]:
    words: tuple[str, ...] = (*_sim(experiment), "--security", "on", "--trojan_rate", str(experiment.swarm.trojan_rate))
    if found := experiment.swarm.verdicts:
        words += ("--accept_clean", str(found.accept_clean), "--accept_trojan", str(found.accept_trojan))
        words += ("--correlation", str(found.correlation), "--assumed")
    return [
        Command((*words, "--seed", str(seed), "--report_dir", to(_report(seed)))) for seed in experiment.swarm.seeds
    ]


def _summary(experiment: Experiment, to: To) -> Sequence[Command]:
    return [Command(("plora", "sim", "--summarise", "results/swarm_v2"), stdout="results/summary_v2.json")]


def _sweep(experiment: Experiment, to: To) -> Sequence[Command]:
    return [Command(("plora", "sweep", experiment.sweep, "--quiet", "--out", to("results/thesis_sweep.jsonl")))]


def _consensus(experiment: Experiment, to: To) -> Sequence[Command]:
    words = (*_sim(experiment), "--trojan_rate", "0", "--seed", str(experiment.swarm.seeds[0]), "--all_clean")
    return [Command((*words, "--report_dir", to("results/consensus_smoke")))]


def _demo(experiment: Experiment, to: To) -> Sequence[Command]:
    folders = tuple(f"out/{domain}" for domain in experiment.domains)
    words = ("python", "-m", "plora.lab.offer_fetch", *folders, "--owner", OWNER)
    return [Command((*words, "--out", to("results/grpc_demo.json")))]


def _policy(experiment: Experiment, to: To) -> Sequence[Command]:
    return [Command(("plora", "dump-policy", "--json"), stdout="results/policy.json")]


STEPS = (
    Step(
        1, "tests", "Tests, without the experiment's own", ("tests",),
        outputs=lambda experiment: ["results/tests.xml"], commands=_tests, check=checks.tests_passed,
        sources=SOURCES, seconds=300,
    ),
    Step(
        2, "prepare-data", "Question and answer pairs", ("domains", "samples"),
        outputs=lambda experiment: ["results/data.json"], commands=_data, check=checks.corpora_suffice,
        rooms=("lab", "proto"), outside=_datasets, revisions=_revisions,
        seconds=5,
    ),
    Step(
        3, "calibrate-c", "Spectral constant C of three families", ("spectra",),
        outputs=_calibrations, commands=_constants, check=checks.constants_hold_together,
        seeds=_calibrated, rooms=GRAPHS, seconds=30,
    ),
    Step(
        4, "validate-bounds", "Spectral and Cheeger bounds", ("spectra",), inputs=_calibrations, laid=_calibrations,
        outputs=lambda experiment: ["results/bounds_validation.json"], commands=_bounds,
        check=checks.bounds_hold, seeds=_validated, rooms=GRAPHS, seconds=30,
    ),
    Step(
        5, "probes-calib", "Calibration of the probes on a small zoo", ("zoo",),
        inputs=lambda experiment: [experiment.zoo.aims],
        outputs=lambda experiment: ["results/probes_calib.json"], commands=_probes,
        check=checks.probes_are_calibrated, needs_base=True, goes_on=True, beside=True,
        seeds=_grown, rooms=("gate", *TRAINERS), seconds=200,
    ),
    Step(
        6, "train-all", "An adapter of each domain", TRAINING,
        inputs=lambda experiment: ["results/data.json"],
        outputs=_trained, untold=_adapters, commands=_train, check=checks.adapters_learned, needs_base=True,
        seeds=_first, rooms=TRAINERS, seconds=60,
    ),
    Step(
        7, "sign-all", "Signed manifests", ("domains",),
        inputs=lambda experiment: [*_trained(experiment), OWNER], laid=_trained,
        outputs=_signed, commands=_sign, check=checks.adapters_signed, needs_base=True,
        aside=frozenset({"issued", "expires", "signature_b64"}), beside=True,
        seeds=_first, rooms=(*PEERS, "lab"), seconds=5,
    ),
    Step(
        8, "swarm-v2-smoke", "Simulated swarm with security on", ("swarm",),
        outputs=lambda experiment: [_report(seed) for seed in experiment.swarm.seeds],
        commands=_swarm, check=checks.swarm_ran_with_security,
        seeds=_simulated, rooms=SWARMS, seconds=30,
    ),
    Step(
        9, "swarm-v2-eval", "What the simulations came to", ("swarm",), inputs=_reports,
        outputs=lambda experiment: ["results/summary_v2.json"], commands=_summary,
        check=checks.summary_is_of_the_runs, seeds=_simulated, rooms=SWARMS, seconds=2,
    ),
    Step(
        10, "monolithic", "One adapter of all domains", TRAINING, inputs=lambda experiment: ["results/data.json"],
        outputs=lambda experiment: _folder(MONOLITHIC), untold=_adapters,
        commands=_monolithic, check=checks.monolithic_learned, needs_base=True,
        seeds=_first, rooms=TRAINERS, seconds=60,
    ),
    Step(
        11, "value-add", "What adapters are worth", (*STUDY, "ranks"), inputs=lambda experiment: ["results/data.json"],
        outputs=lambda experiment: [f"{VALUE_ADD}/{name}" for name in STUDIES],
        commands=_value_add, check=checks.every_cell_is_there, needs_base=True, goes_on=True, caches=(STUDIED,),
        aside=frozenset({"times"}), seeds=_all, rooms=STUDIERS, seconds=240,
    ),
    Step(
        12, "thesis-sweep", "Three families of graphs", ("sweep",), inputs=lambda experiment: [experiment.sweep],
        outputs=lambda experiment: ["results/thesis_sweep.jsonl"], commands=_sweep, check=checks.sweep_is_whole,
        goes_on=True, aside=frozenset({"cpu_s", "command"}), any_order=True, beside=True, seeds=_swept, rooms=SWARMS,
        seconds=120,
    ),
    Step(
        13, "ablation", "What rank and modules change", (*STUDY, "ablation"),
        inputs=lambda experiment: ["results/data.json"],
        outputs=lambda experiment: ["results/ablation.jsonl"], commands=_ablation, check=checks.ablation_is_whole,
        needs_base=True, caches=(STUDIED,), seeds=_all, rooms=STUDIERS, seconds=120,
    ),
    Step(
        14, "alt-train-merge", "Train, merge, train on", (*TRAINING, "alternation"),
        inputs=lambda experiment: ["results/data.json"],
        outputs=lambda experiment: [f"{ALTERNATION}/rounds.jsonl", f"{ALTERNATION}/convergence.json"],
        commands=_alternation, check=checks.rounds_are_whole, needs_base=True, caches=(ALTERNATED,),
        seeds=_first, rooms=STUDIERS, seconds=120,
    ),
    Step(
        15, "value-add-verified", "Rows of the value-add study verified", (),
        inputs=lambda experiment: [f"{VALUE_ADD}/value_add.jsonl"],
        outputs=lambda experiment: ["results/value_add_verified.json"], commands=_verify,
        check=checks.rows_are_sound, aside=frozenset({"sha256"}),  # of rows, times among them
        seeds=_all, rooms=STUDIERS, seconds=5,
    ),
    Step(
        16, "consensus-smoke", "A quorum makes certificates", ("swarm",),
        outputs=lambda experiment: ["results/consensus_smoke"], commands=_consensus,
        check=checks.clean_reached_everybody,
        seeds=lambda experiment, root: experiment.swarm.seeds[:1], rooms=SWARMS, seconds=15,
    ),
    Step(
        17, "grpc-demo", "Offered by one process, fetched by another", ("domains",),
        inputs=lambda experiment: [*_trained(experiment), *_signed(experiment), OWNER],
        outputs=lambda experiment: ["results/grpc_demo.json"], commands=_demo,
        check=checks.fetched_what_was_offered, rooms=(*PEERS, "lab"), seconds=10,
    ),
    Step(
        18, "dump-policy", "The policy that is in force", (),
        outputs=lambda experiment: ["results/policy.json"], commands=_policy,
        check=checks.policy_asks_for_signatures, beside=True, rooms=PEERS, outside=_peers_policy, seconds=2,
    ),
    Step(
        19, "net-it", "Information in the network", ("information",),
        outputs=lambda experiment: [checks.INFORMATION], commands=_information,
        check=checks.information_is_there,
        seeds=_informed, rooms=GRAPHS, seconds=10,
    ),
)  # fmt: skip


def chosen(names: Sequence[str], experiment: Experiment) -> list[Step]:
    """These steps and all that they need, in order; all where none is named. UsageError for a name that isn't there.

    >>> from plora.lab.experiment.config import read_config
    >>> dry = read_config(Path("config/plora.dry.yml"))
    >>> [step.number for step in chosen(["sign-all"], dry)]
    [2, 6, 7]
    """
    if not names:
        return list(STEPS)
    wanted = {_named(name).number for name in names}
    while more := _needed_by(wanted, experiment) - wanted:
        wanted |= more
    return [step for step in STEPS if step.number in wanted]


def depending(names: Sequence[str], experiment: Experiment) -> list[Step]:
    """These steps and all that depend on them, in order; all where none is named. UsageError as of `chosen`.

    >>> from plora.lab.experiment.config import read_config
    >>> dry = read_config(Path("config/plora.dry.yml"))
    >>> [step.number for step in depending(["swarm-v2-smoke"], dry)]
    [8, 9]
    """
    if not names:
        return list(STEPS)
    found = {_named(name).number for name in names}
    while more := {step.number for step in STEPS if found & _needed_by({step.number}, experiment)} - found:
        found |= more
    return [step for step in STEPS if step.number in found]


def _needed_by(numbers: set[int], experiment: Experiment) -> set[int]:
    steps = (step for step in STEPS if step.number in numbers)
    return {one.number for step in steps for one in needed(step, STEPS, experiment)}


def _named(name: str) -> Step:
    for step in STEPS:
        if name in (step.name, str(step.number), step.label):
            return step
    listed = ", ".join(step.name for step in STEPS)
    raise UsageError("no such step", where=name, mend=f"one of {listed}")
