# Talewright. `make` alone lists what there is; everything is installed into .venv, nothing elsewhere.
#
#   make demo PYTHON=python3.12              another Python
#   make train RECIPE=neo-41m ARGS="--data stories.txt --max-minutes 30"
#
# pip obeys its own variables as ever: PIP_EXTRA_INDEX_URL can name an index with a CPU-only torch, which is much smaller.

PYTHON ?= python3
RECIPE ?= quickstart
ARGS ?=
WORKERS ?= 2
STORIES ?=
GPT2 ?=

BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e
# What is installed, as empty files: a file older than the two lists of packages is made again.
BASE := .venv/.installed
ALL := .venv/.installed-all
DEV := .venv/.installed-dev
PEERS := .venv-bench/.installed
LISTS := pyproject.toml constraints.txt
CODE := $(wildcard src tests benchmarks)

.DEFAULT_GOAL := help
.PHONY: help demo setup train test test-all lint bench clean

help: ## list what there is
	@awk -F ': .*## ' '/^[a-z-]+: .*## / {printf "make %-9s %s\n", $$1, $$2}' Makefile

demo: $(BASE) ## train a first model on bundled stories, in about two minutes, and read what it tells
	@$(BIN)/talewright demo

setup: $(ALL) ## install Talewright with all that it can use, in the versions that were tested
	@echo "Installed. Next: . .venv/bin/activate, then talewright --help"

train: $(ALL) ## train a recipe: make train RECIPE=mini-2m ARGS="--max-minutes 30"
	@$(BIN)/talewright train --recipe $(RECIPE) $(ARGS)

test: $(DEV) ## the tests, but for the slow ones
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) -m "not slow" $(ARGS)

test-all: $(DEV) ## all tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) $(ARGS)

lint: $(DEV) ## lint, format and types
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/pyright

bench: $(PEERS) ## ours beside transformers, litgpt, llama.cpp, tokenizers: make bench STORIES=stories.txt GPT2=folder
	@cd benchmarks && PYTHON=../.venv-bench/bin/python ./all.sh $(abspath $(STORIES)) $(abspath $(GPT2))

clean: ## remove caches and builds; runs/ and .venv stay
	rm -rf build dist .pytest_cache .ruff_cache .hypothesis
	find . -name .venv -prune -o -name __pycache__ -prune -exec rm -rf {} +

$(BASE): $(LISTS) | $(BIN)/pip
	@echo "Installing Talewright and its tested versions into .venv: once, some minutes ..."
	@$(INSTALL) .
	@touch $@

$(ALL): $(LISTS) | $(BIN)/pip
	@echo "Installing Talewright with all that it can use into .venv: once, some minutes ..."
	@$(INSTALL) ".[all]"
	@touch $(BASE) $@

$(DEV): $(LISTS) | $(BIN)/pip
	@echo "Installing Talewright and what its tests need into .venv: once, some minutes ..."
	@$(INSTALL) ".[dev]"
	@touch $(BASE) $(ALL) $@

# The peers have an environment of their own: what they pin is not what we pin.
$(PEERS): $(LISTS) benchmarks/requirements.txt
	@echo "Installing the peers into .venv-bench; llama.cpp is compiled: once, ten minutes or so ..."
	@$(PYTHON) -m venv .venv-bench
	@.venv-bench/bin/pip install -q --disable-pip-version-check -c constraints.txt -r benchmarks/requirements.txt -e ".[hf]" gguf
	@.venv-bench/bin/pip install -q --disable-pip-version-check --no-deps litgpt==0.5.13
	@touch $@

# pip is the last thing that venv makes: a .venv that was interrupted has none, and is made again.
$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "Talewright needs Python 3.11 or later; $(PYTHON) is" \
			"$$($(PYTHON) --version 2>/dev/null || echo "not there"). Name another: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; \
		exit 1; }
	@$(PYTHON) -m venv .venv
