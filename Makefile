# Oxkeeper. `make help` lists the targets.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

TARGET := $(abspath $(or $(CARGO_TARGET_DIR),target))
BINARY := $(TARGET)/release/oxkeeper
RESULTS := $(TARGET)/test-results.txt

# The compat tests drive the optimized server.
export OXKEEPER_BIN := $(BINARY)

.PHONY: help
help: ## lists the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## / ## /' | \
	    awk -F ' ## ' '{ printf "make %-12s %s\n", $$1, $$2 }'

.PHONY: build
build: ## builds the server, optimized
	cargo build --release --locked -p ox-cli

.PHONY: run
run: build ## builds and serves on port 2181 with ./data
	exec $(BINARY) serve

.PHONY: ensemble
ensemble: build ## builds and runs three servers on ports 2181 to 2183 with ./data/ensemble
	exec bin/ensemble.sh

.PHONY: fetch
fetch: ## fetches what the tests drive: Apache ZooKeeper, kazoo, the C client
	compat-tests/fetch.sh

.PHONY: test
test: build fetch ## the whole gate: format, lints, all tests, docs
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo test --locked --workspace --no-fail-fast 2>&1 | tee $(RESULTS)
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --document-private-items
	@compat-tests/summary.sh $(RESULTS)

# The long forms of the compat tests.
FULL := OX_KILL9_ROUNDS=200 OX_FAILOVERS=50 OX_MIXED=full OX_ROLLINGS=3 OX_STEPS_PER_RESTART=1 \
    OX_RECONFIGS=20 OX_MATRIX=full OX_PEERS=full
# The suites whose long form needs more than `make fetch` brings.
FETCHED_APART := matrix peers

.PHONY: compat
compat: build ## the compat tests in full, or with PART=<suite> one suite of them
	compat-tests/fetch.sh $(if $(PART),$(filter $(FETCHED_APART),$(PART)),$(FETCHED_APART))
	$(FULL) cargo test --locked -p compat-tests --no-fail-fast $(PART:%=--test %) 2>&1 | \
	    tee $(RESULTS)
	@compat-tests/summary.sh $(RESULTS)

.PHONY: compat-docs
compat-docs: ## writes what `make compat` has found of clients into docs/compatibility.md
	compat-tests/docs.sh $(TARGET)/compat-results docs/compatibility.md

.PHONY: compat-apps
compat-apps: build ## Kafka and Hadoop on three servers of ours, and on Apache's (about 10 minutes)
	compat-tests/fetch.sh apps
	OX_APPS=yes cargo test --locked -p compat-tests --test apps 2>&1 | tee $(RESULTS)
	@compat-tests/summary.sh $(RESULTS)

.PHONY: differential
differential: SEEDS := 2000
differential: build fetch ## the same scripts on Apache 3.9.5 and on ours, SEEDS=2000 alone and on three; SEED=n, MODE=ensemble
	cargo build --profile quick --locked -p differential
	$(TARGET)/quick/differential --seeds $(SEEDS) --first $(FIRST) $(SEED:%=--seed %) \
	    $(MODE:%=--mode %) 2>&1 | tee $(RESULTS)

.PHONY: model
model: ## all orders of events in a small ensemble, within bounds (about 10 minutes)
	cargo test --locked --profile quick -p ox-zab --test simulation \
	    small_ensembles_within_larger_bounds -- --ignored --nocapture

# The long forms of the fault suite: rounds of each means.
FAULTS := OX_ENSEMBLE_KILLS=200 OX_PAUSES=24 OX_PARTITIONS=55 OX_INJECTIONS=100000 \
    OX_MEMBER_INJECTIONS=100000 OX_SLOW_SYNCS=10 OX_SLOW_MEMBERS=12 OX_CLOCK_JUMPS=20 \
    OX_FULL_DISKS=60 OX_FULL_MEMBERS=20 OX_WRITE_BACK_ERRORS=40 OX_CALIBRATIONS=2000 \
    OX_POWER_CUTS=200 OX_ENSEMBLE_POWER_CUTS=60

.PHONY: faults
faults: build ## kills, partitions, failing calls, full and broken disks, power cuts, in full (root)
	$(FAULTS) cargo test --locked -p compat-tests --test faults 2>&1 | tee $(RESULTS)
	@compat-tests/summary.sh $(RESULTS)

# Counters in every block of code tell which inputs reach something new. Build scripts do without.
HOST := $(shell rustc --print host-tuple)
COUNTERS := -C passes=sancov-module -C llvm-args=-sanitizer-coverage-level=3 \
    -C llvm-args=-sanitizer-coverage-inline-8bit-counters

.PHONY: fuzz
fuzz: ## damages what readers of bytes read: FUZZ_SECONDS=60 for each of them, FUZZ_SEED=1
	RUSTFLAGS="$(COUNTERS)" cargo build --locked --profile fuzz -p ox-fuzz --target $(HOST)
	$(TARGET)/$(HOST)/fuzz/ox-fuzz --seconds $(or $(FUZZ_SECONDS),60) --seed $(or $(FUZZ_SEED),1)

.PHONY: mutants
mutants: ## plants bugs, one at a time; the simulation must find each (ONLY=M01 for one)
	RUSTFLAGS="--cfg mutants" cargo build --locked --profile sim --target-dir $(TARGET)/mutants -p ox-sim
	$(TARGET)/mutants/sim/ox-sim mutants $(ONLY:%=--only %)

# How many seeds `make sim` runs, and from which one on.
SEEDS := 1000
FIRST := 1

.PHONY: sim
sim: ## runs ensembles in virtual time under every fault, SEEDS=1000 whole and as many small
	cargo build --profile sim --locked -p ox-sim
	$(TARGET)/sim/ox-sim run --seeds $(SEEDS) --first $(FIRST)

.PHONY: sim-seed
sim-seed: ## replays one of them: make sim-seed SEED=n, or a small one with SMALL=yes
	cargo build --profile sim --locked -p ox-sim
	$(TARGET)/sim/ox-sim seed $(SEED) --trace $(SMALL:%=--small)

.PHONY: bench
bench: build fetch ## compares speed, memory and start with Apache ZooKeeper (about 25 minutes)
	cargo build --release --locked -p ox-bench
	$(TARGET)/release/ox-bench --server $(BINARY)

.PHONY: fix
fix: ## formats, and applies what the lints suggest
	cargo fmt --all
	cargo clippy --workspace --all-targets --fix --allow-dirty --allow-staged
