# All verbs. .ci/run calls these; they install what they need into .venv, and `make test-oldest` into .venv-oldest.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(abspath $(VENV))/bin
OLDEST ?= .venv-oldest

DATA   ?= ../shared/data

# Duration of each fuzzer and of `make asan`, and of the fault campaigns; the target of `make fuzz-coverage`: pipeline, readers or arrays;
# the Pythons of `make test-pythons`, all installed ones if empty.
SECONDS ?= 60
MINUTES ?= 60
TARGET  ?= pipeline
PYTHONS ?=

RUST_SOURCES := rust/Cargo.toml rust/Cargo.lock $(shell find rust/src rust/tables -type f)
PYTHON_SOURCES := $(shell find src -type f -not -name '*.pyc' -not -name '*.so')

.PHONY: help setup build demo test test-oldest test-pythons fuzz fuzz-readers fuzz-arrays fuzz-loaders fuzz-coverage asan torture chaos damage lint bench clean

help:
	@echo "make demo   build, train on the shipped corpus, evaluate, predict"
	@echo "make test   build, run every test"
	@echo "make test-oldest  the tests that depend on other packages, with the minimum version of each (on Python 3.11: PYTHON=python3.11)"
	@echo "make fuzz   random texts through every tier of kernels, against a simple reference (SECONDS=600)"
	@echo "make fuzz-readers  hostile bytes through every reader, against invariants, references and Python's parsers (SECONDS=600 for each half)"
	@echo "make fuzz-arrays  hostile arrays through every function of the core that takes arrays (SECONDS=600 for each half)"
	@echo "make fuzz-loaders  damaged models, checkpoints, plans, journals and caches through their loaders (SECONDS=600)"
	@echo "make fuzz-coverage  coverage-guided fuzzing with cargo-fuzz (SECONDS=600 TARGET=pipeline|readers|arrays)"
	@echo "make asan   the tests of the core and the random texts under AddressSanitizer (SECONDS=600)"
	@echo "make torture  every command, with each of its calls that change a file failed or killed (MINUTES=60; resumes)"
	@echo "make chaos  drivers and workers killed at random moments; results compared with undisturbed runs"
	@echo "make damage  every kind of file that a later run reads, damaged in thousands of ways"
	@echo "make test-pythons  hashing and learning tests on other Pythons (PYTHONS='python3.12 python3.14t')"
	@echo "make lint   formatting, types, layers, warnings"
	@echo "make bench  time against scikit-learn, fastText and Vowpal Wabbit (DATA=folder of the full corpora)"

# Stamp files of the environment, the compiled core and the developer tools, so that nothing is done twice.
$(VENV)/.environment: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1" "maturin>=1.9,<2"
	touch $@

$(VENV)/.core: $(VENV)/.environment $(RUST_SOURCES)
	PIP_QUIET=1 VIRTUAL_ENV=$(abspath $(VENV)) $(BIN)/maturin develop --release --quiet
	touch $@

$(VENV)/.tools: $(VENV)/.environment
	$(BIN)/python -m pip install --quiet --group test --group lint
	touch $@

setup: $(VENV)/.environment $(VENV)/.tools
build: $(VENV)/.core

demo: build
	$(BIN)/manymill train examples/data/mail-train.jsonl.zst --out runs/demo
	$(BIN)/manymill evaluate runs/demo examples/data/mail-test.jsonl.zst
	$(BIN)/manymill predict runs/demo examples/data/mail-test.jsonl.zst --probabilities --out runs/demo-predictions
	@echo
	@echo "A model that tells spam from other mail, by words, pairs of words and characters, each weighted, was trained on"
	@echo "2,700 mails, tested on 675 others, and used to label those with probabilities. No option chose any of this:"
	@echo "docs/recipe.md says what the default does, and when to change it."
	@echo
	@echo "model         runs/demo/model"
	@echo "plan, events  runs/demo/plan.json, runs/demo/events.jsonl"
	@echo "predictions   runs/demo-predictions"

test: build $(VENV)/.tools
	cd rust && cargo test --quiet --release --no-default-features --features fuzz
	$(BIN)/python -m pytest

# The minimum Python with the minimum version of every dependency: an environment of its own, and in it the wheel that users install.
OLDEST_PIP = $(BIN)/python -m pip --python $(OLDEST)/bin/python

$(OLDEST)/.environment: pyproject.toml tests/oldest.py
	rm -rf $(OLDEST)
	$(PYTHON) -m venv --without-pip $(OLDEST)
	$(OLDEST)/bin/python tests/oldest.py > $(OLDEST)/requirements.txt
	$(OLDEST_PIP) install --quiet --only-binary :all: --requirement $(OLDEST)/requirements.txt
	touch $@

$(OLDEST)/.wheel: $(OLDEST)/.environment $(VENV)/.core $(PYTHON_SOURCES)
	rm -rf $(OLDEST)/wheels
	$(BIN)/maturin build --release --quiet --interpreter $(BIN)/python --out $(OLDEST)/wheels
	$(OLDEST_PIP) install --quiet --force-reinstall --no-deps $(OLDEST)/wheels/*.whl
	$(OLDEST_PIP) check
	touch $@

# The tests that depend on versions of other packages; kills, signals and damaged files are left to `make test`.
# Old releases call what newer releases of their own dependencies deprecate: such warnings are not errors here.
OLDEST_TESTS := tests/unit tests/contract tests/property tests/golden --ignore tests/contract/test_engine_faults.py \
	$(addprefix tests/integration/test_,training.py mlflow_autologging.py credentials.py)

test-oldest: $(OLDEST)/.wheel
	$(OLDEST)/bin/python -m pytest -p no:cacheprovider -W ignore::DeprecationWarning $(OLDEST_TESTS)

FUZZ_CORE = cd rust && FUZZ_SECONDS=$(SECONDS) cargo test --quiet --release --no-default-features --features fuzz --test fuzz -- --nocapture
FUZZ_PYTHON = PYTHONPATH=tests $(BIN)/python -m

fuzz:
	$(FUZZ_CORE) every_tier

fuzz-readers: build $(VENV)/.tools
	$(FUZZ_CORE) readers
	$(FUZZ_PYTHON) fuzz.readers --seconds $(SECONDS)

fuzz-arrays: build $(VENV)/.tools
	$(FUZZ_CORE) arrays
	$(FUZZ_PYTHON) fuzz.arrays --seconds $(SECONDS)

fuzz-loaders: build $(VENV)/.tools
	$(FUZZ_PYTHON) fuzz.loaders --seconds $(SECONDS)

$(VENV)/.cargo-fuzz: $(VENV)/.environment
	cargo install --quiet --root $(VENV) cargo-fuzz
	touch $@

fuzz-coverage: $(VENV)/.cargo-fuzz
	cd rust && PATH="$(BIN):$$PATH" RUSTC_BOOTSTRAP=1 cargo fuzz run $(TARGET) -- -max_total_time=$(SECONDS) -max_len=2000

# The stable compiler has the sanitizer; only the flag is unstable. Debug assertions check the contracts of `unsafe` code.
HOST = $(shell rustc -vV | sed -n 's/^host: //p')
asan:
	cd rust && ASAN_OPTIONS=allocator_may_return_null=1 RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=address" CARGO_PROFILE_RELEASE_LTO=off \
		CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS=true FUZZ_SECONDS=$(SECONDS) \
		cargo test --quiet --release --no-default-features --features fuzz --lib --tests --target $(HOST) --target-dir target/asan

test-pythons: build
	$(BIN)/python tests/pythons.py $(PYTHONS) --data $(DATA)

# Each writes its counts to benches/results and resumes where it was stopped. `benches/reliability/report.py` puts them into docs/reliability.md.
torture: build
	$(BIN)/python benches/reliability/torture.py --minutes $(MINUTES) --state runs/torture.state --json benches/results/torture.json

chaos: build
	$(BIN)/python benches/reliability/chaos.py --driver-kills 1000 --worker-kills 500 --worker-stops 20 --cluster-kills 20 \
		--minutes $(MINUTES) --state runs/chaos.state --json benches/results/faults.json

damage: build
	$(BIN)/python benches/reliability/damage.py --minutes $(MINUTES) --state runs/damage.state --json benches/results/damage.json

lint: build $(VENV)/.tools
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	cd rust && cargo fmt --check
	cd rust && cargo clippy --quiet --all-targets --no-default-features --features fuzz -- -D warnings
	cd rust && cargo clippy --quiet --features python -- -D warnings

bench: build
	$(BIN)/python -m pip install --quiet --group bench
	$(BIN)/python benches/startup.py
	$(BIN)/python benches/hash.py --data $(DATA)
	$(BIN)/python benches/learn.py --data $(DATA)
	$(BIN)/python benches/read.py --data $(DATA)
	$(BIN)/python benches/defaults.py --data $(DATA)
	$(BIN)/python benches/recipe.py --data $(DATA)
	$(BIN)/python benches/train.py --data $(DATA)
	$(BIN)/python benches/train.py --data $(DATA) --memory
	$(BIN)/python benches/mixing.py --data $(DATA)
	$(BIN)/python benches/mapreduce.py --data $(DATA)
	$(BIN)/python benches/scale.py --data $(DATA)
	$(BIN)/python benches/forest_peers.py --data $(DATA)

clean:
	rm -rf $(VENV) $(OLDEST) rust/target runs
