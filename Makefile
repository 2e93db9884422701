# `make table1` and `make test` work on a fresh clone: each makes the environment first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CORES ?= all
READY := $(VENV)/.ready

.PHONY: env table1 test test-slow test-slurm lint smoke rehearsal clean

table1: $(READY)
	PATH="$(CURDIR)/$(BIN):$$PATH" snakemake --cores $(CORES)

test: $(READY)
	OMP_WAIT_POLICY=passive $(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow"

test-slow: $(READY)
	OMP_WAIT_POLICY=passive $(BIN)/python -m pytest

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile workflow
	PATH="$(CURDIR)/$(BIN):$$PATH" snakemake --lint

# The real workflow, two methods on one prompt, a few steps, into a temporary folder.
smoke: $(READY)
	PATH="$(CURDIR)/$(BIN):$$PATH" tests/smoke/smoke

# The smoke benchmark through a real Slurm of one node (root; Debian: slurm-wlm slurm-client munge).
test-slurm: $(READY)
	$(BIN)/python -m pip install --quiet snakemake-executor-plugin-slurm==2.8.0
	PATH="$(CURDIR)/$(BIN):$$PATH" tests/slurm/test_slurm

# The paper's workflow with networks of the true size and random weights: half an hour to an hour and 11 GB on two cores.
rehearsal: $(READY)
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python tests/rehearsal/rehearse.py

env: $(READY)

# torch goes first: asked for by its own name and version, so that no other package widens the choice.
$(READY): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet torch==2.13.0
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) results/mini results/smoke
