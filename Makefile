# Talewright. `make` alone lists what there is; everything is installed into .venv, nothing elsewhere.
#
#   make demo PYTHON=python3.12              another Python
#   make train ARGS="--data stories.txt --minutes 20"
#   make test-gpu BIN=/path/to/venv/bin      an environment that exists, in place of .venv: nothing is installed
#
# On Linux, torch from PyPI brings CUDA: several GB. A machine without an NVIDIA GPU needs only the CPU build, a tenth of
# that: set PIP_EXTRA_INDEX_URL to PyTorch's CPU index (see pytorch.org's install page) before the first `make`.

PYTHON ?= python3
ARGS ?=
WORKERS ?= 2
STORIES ?=
GPT2 ?=
# test-gpu and bench-gpu: cuda, or cpu to try them without a GPU; where their results go; FULL=1 trains gpt2-124m from its
# first step to its last, on the stories of the folder TINYSTORIES (train.txt, valid.txt) if it is given.
DEVICE ?= cuda
OUT ?= build/gpu
FULL ?=
TINYSTORIES ?=

BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e
CUDA := torch brings CUDA: several GB to download. Without an NVIDIA GPU, its CPU build is a tenth of that: \
	press Ctrl-C, set PIP_EXTRA_INDEX_URL to PyTorch's CPU index (pytorch.org's install page names it), and begin again.
SIZE := $(if $(filter Linux,$(shell uname -s)),$(if $(PIP_EXTRA_INDEX_URL),,$(CUDA)))
# What is installed, as empty files: a file older than the two lists of packages is made again.
BASE := .venv/.installed
ALL := .venv/.installed-all
DEV := .venv/.installed-dev
RELEASE := .venv/.installed-release
PEERS := .venv-bench/.installed
LISTS := pyproject.toml constraints.txt
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -rs
SMOKE := tests/config tests/model tests/cli/test_common.py tests/test_files.py tests/test_cli.py::test_the_whole_path
# A BIN of one's own needs no installation, and its pytest no plugins: the settings of pyproject.toml are not used.
GPU_SETUP = $(if $(filter .venv/bin,$(BIN)),$(DEV))
ON_DEVICE = PYTHONPATH="$(CURDIR)/src:$(CURDIR)" $(if $(filter cpu,$(DEVICE)),CUDA_VISIBLE_DEVICES=) $(BIN)/python
FOLDERS = $(if $(TINYSTORIES),--tinystories "$(TINYSTORIES)") $(if $(GPT2),--gpt2 "$(GPT2)")
CODE := $(wildcard src tests benchmarks tools website)
PROSE := $(wildcard README.md CHANGELOG.md CONTRIBUTING.md SECURITY.md docs)

.DEFAULT_GOAL := help
.PHONY: help demo setup train smoke test test-all test-gpu lint docs bench bench-gpu release-check clean

help: ## list what there is
	@awk -F ': .*## ' '/^[a-z-]+: .*## / {printf "make %-13s %s\n", $$1, $$2}' Makefile

demo: $(BASE) ## train a first model on bundled stories, in a few minutes, and read its stories
	@$(BIN)/talewright demo

setup: $(ALL) ## install Talewright with all that it can use, in the versions that were tested
	@echo "Installed. Next: . .venv/bin/activate, then talewright --help"

train: $(ALL) ## train on your stories: make train ARGS="--data stories.txt --minutes 20"
	@$(BIN)/talewright train $(ARGS)

smoke: $(DEV) ## a minute of tests: settings, model, and one run from training to a story
	$(PYTEST) -n 0 -m "not slow" $(SMOKE) $(ARGS)

test: $(DEV) ## the tests, but for the slow ones: about a quarter of an hour on two cores
	$(PYTEST) -n $(WORKERS) -m "not slow" $(ARGS)

test-all: $(DEV) ## all tests: longer
	$(PYTEST) -n $(WORKERS) $(ARGS)

test-gpu: $(GPU_SETUP) ## the tests of an NVIDIA GPU, in under four minutes: results in build/gpu/test-gpu.md and .json
	TALEWRIGHT_TEST_DEVICE=$(DEVICE) TALEWRIGHT_TEST_REPORT="$(abspath $(OUT))" $(ON_DEVICE) -m pytest -q -rs \
		-o addopts= -p no:cacheprovider --confcutdir=tests/gpu tests/gpu $(ARGS)

lint: $(DEV) ## lint, format, types, spelling and prose
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/pyright
	$(BIN)/codespell $(CODE) $(PROSE)
	$(BIN)/python -m website.prose $(PROSE)

docs: $(DEV) ## the documentation as pages that need no network: open build/site/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

bench: $(PEERS) ## ours beside transformers, litgpt, llama.cpp, tokenizers: make bench STORIES=stories.txt GPT2=folder
	@cd benchmarks && PYTHON=../.venv-bench/bin/python ./all.sh $(abspath $(STORIES)) $(abspath $(GPT2))

bench-gpu: $(GPU_SETUP) ## the speed of an NVIDIA GPU, in under four minutes; or FULL=1: results in build/gpu
	$(ON_DEVICE) -m benchmarks.gpu --device $(DEVICE) --out "$(OUT)" $(if $(FULL),--full $(FOLDERS))

release-check: $(RELEASE) ## the wheel with old and new dependencies on each Python here: results in build/release.md
	$(BIN)/python tools/release.py $(ARGS)

clean: ## remove caches and builds; runs/ and .venv stay
	rm -rf build dist .pytest_cache .ruff_cache .hypothesis
	find . -name .venv -prune -o -name __pycache__ -prune -exec rm -rf {} +

$(BASE): $(LISTS) | $(BIN)/pip
	@echo "Installing Talewright and its tested versions into .venv: once, some minutes. $(SIZE)" | fold -s
	@$(INSTALL) .
	@touch $@

$(ALL): $(LISTS) | $(BIN)/pip
	@echo "Installing Talewright with all that it can use into .venv: once, some minutes. $(SIZE)" | fold -s
	@$(INSTALL) ".[all]"
	@touch $(BASE) $@

$(DEV): $(LISTS) | $(BIN)/pip
	@echo "Installing Talewright and what its tests need into .venv: once, some minutes. $(SIZE)" | fold -s
	@$(INSTALL) ".[dev]"
	@touch $(BASE) $(ALL) $@

$(RELEASE): $(LISTS) | $(BIN)/pip
	@echo "Installing Talewright and what its releases need into .venv: once, some minutes. $(SIZE)" | fold -s
	@$(INSTALL) ".[release]"
	@touch $(BASE) $@

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
