# `make table1` and `make test` work on a fresh clone: each makes the environment first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CORES ?= all
READY := $(VENV)/.ready

.PHONY: env lock table1 new-method test test-slow test-faults test-slurm lint smoke rehearsal clean

table1: $(READY)
	PATH="$(CURDIR)/$(BIN):$$PATH" snakemake --cores $(CORES)

# The loss, entry and test of a method of your own: make new-method NAME=mine
new-method: $(READY)
	$(BIN)/python -m baselines.skeleton $(NAME)
	$(BIN)/python -m docs.generated

test: $(READY)
	OMP_WAIT_POLICY=passive $(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow"

test-slow: $(READY)
	OMP_WAIT_POLICY=passive $(BIN)/python -m pytest

# Kills jobs and Snakemake at random moments of every stage; the end must be that of a run left alone. Half an hour.
KILLS ?= 100
test-faults: $(READY)
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python tests/faults/kill.py --kills $(KILLS)

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
$(READY): pyproject.toml requirements.lock
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet $(shell grep '^torch==' requirements.lock)
	$(BIN)/python -m pip install --quiet --constraint requirements.lock --editable '.[dev]'
	touch $@

# After a change of pyproject.toml: whatever fits it now, as requirements.lock and environment.yml. Local tags go,
# so that the lock of a CPU machine is that of a GPU machine, where torch brings its CUDA packages besides.
lock:
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet $(shell sed -n 's/.*"\(torch==[^"]*\)".*/\1/p' pyproject.toml)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	$(BIN)/python -m pip freeze --all --exclude-editable | sed 's/+.*//' | grep -v -E '^(pip|(nvidia|cuda)-.*|triton)==' > requirements.lock
	$(MAKE) environment.yml
	touch requirements.lock $(READY)

environment.yml: requirements.lock
	{ sed '/- pip:/q' $@; sed 's/^/      - /' $<; } > $@.part && mv $@.part $@

clean:
	rm -rf $(VENV) results/mini results/smoke
