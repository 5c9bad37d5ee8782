# The only verbs. Hooks and .ci/run call these; whatever they need, they install into .venv.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(abspath $(VENV))/bin

RUST_SOURCES := rust/Cargo.toml rust/Cargo.lock $(shell find rust/src rust/tables -type f 2>/dev/null)

.PHONY: help setup build demo test lint bench clean

help:
	@echo "make demo   build, train on the shipped corpus, evaluate, predict"
	@echo "make test   build, run every test"
	@echo "make lint   formatting, types, layers, warnings"
	@echo "make bench  time against scikit-learn, fastText and Vowpal Wabbit (needs ../shared/data)"

# One stamp for the environment, one for the compiled core: nothing is done twice.
$(VENV)/.environment: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet "maturin>=1.9,<2" --group test --group lint
	touch $@

$(VENV)/.core: $(VENV)/.environment $(RUST_SOURCES)
	VIRTUAL_ENV=$(abspath $(VENV)) $(BIN)/maturin develop --release --quiet
	touch $@

setup: $(VENV)/.environment
build: $(VENV)/.core

test: build
	cd rust && cargo test --quiet --release --no-default-features
	$(BIN)/python -m pytest

lint: build
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	cd rust && cargo fmt --check
	cd rust && cargo clippy --quiet --all-targets --no-default-features -- -D warnings
	cd rust && cargo clippy --quiet --features python -- -D warnings

clean:
	rm -rf $(VENV) rust/target runs
