# Every target sets up its own .venv from nothing; a change of pyproject.toml renews it.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PYTEST := $(BIN)/python -m pytest -q
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# The simulators multiply tiles; more BLAS threads than one make those many times slower.
export OPENBLAS_NUM_THREADS := 1

.DEFAULT_GOAL := help
.PHONY: help demo test lint format docs bench bench-large fuzz clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

demo: $(STAMP) ## compile one Qwen3 layer, simulate it, compare with numpy
	$(BIN)/nkigen-cp demo -o build/demo

test: $(STAMP) ## fast tests (SLOW=1: all of them)
	$(PYTEST) -n 2 $(if $(SLOW),,-m "not slow")

lint: $(STAMP) ## formatting, lint, types, import directions
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/pyright

format: $(STAMP) ## let ruff rewrite the sources
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

$(VENV)/.docs: $(STAMP)
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	touch $@

docs: $(VENV)/.docs ## the documentation site, strictly, into build/docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

bench: $(STAMP) ## hold the workloads against their limits; writes benchmarks/RESULTS.md
	$(BIN)/python -m benchmarks.compile_workloads

bench-large: $(STAMP) ## the same for programs larger than the chip; writes benchmarks/LARGE.md
	$(BIN)/python -m benchmarks.large

fuzz: $(STAMP) ## random programs through the whole compiler (EXAMPLES=1000 for more)
	NKIGEN_CP_FUZZ_EXAMPLES=$(or $(EXAMPLES),200) $(PYTEST) tests/fuzz -m ""

clean: ## remove .venv and everything built
	rm -rf $(VENV) build dist *.egg-info
