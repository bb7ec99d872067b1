# popscan: `make demo` and `make test` set up all they need in .venv.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CORES ?= $(shell nproc 2>/dev/null || echo 2)
READY := $(VENV)/.ready
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help setup demo test test-oldest test-slurm lint types contract schema sentences docs profiles clean

help:
	@echo "make setup     set up .venv; the others do it themselves"
	@echo "make demo      set up and run the demo study: 24 simulated subjects, from k-space to report"
	@echo "make test      set up and run the tests"
	@echo "make test-oldest  the statistics with the oldest allowed versions (Python 3.11)"
	@echo "make test-slurm  only those on a real one-node Slurm, which needs root and Debian's"
	@echo "               slurm-wlm munge slurmdbd mariadb-server"
	@echo "make lint      ruff, snakefmt, codespell, snakemake --lint"
	@echo "make types     mypy"
	@echo "make contract  which package may import which"
	@echo "make profiles  link the cluster profiles to where snakemake looks for --profile"
	@echo "make schema    export the config's JSON schema, config/README.md, and the generated docs"
	@echo "make sentences  list the report's sentences in docs/sentences.md, with examples"
	@echo "make docs      build the documentation into build/site"
	@echo "make clean     remove .venv and .snakemake"

setup: $(READY)

$(READY): pyproject.toml envs/constraints.txt
	@echo "Setting up $(VENV): Python packages, a few minutes the first time ..."
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "popscan needs Python 3.11 or newer; set PYTHON=/path/to/python3.11" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c envs/constraints.txt torch \
	  2> $(VENV)/setup.log || { cat $(VENV)/setup.log >&2; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c envs/constraints.txt \
	  -e '.[dev]' 2> $(VENV)/setup.log || { cat $(VENV)/setup.log >&2; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps \
	  'combatlearn>=2.3' 'axe-playwright-python>=0.1.8' \
	  2> $(VENV)/setup.log || { cat $(VENV)/setup.log >&2; exit 1; }
	@touch $(READY)
	@echo "Ready."

demo: $(READY)
	@echo "Running the demo study on $(CORES) cores: 24 simulated subjects, from k-space to report ..."
	@snakemake --configfile config/demo.yaml --cores $(CORES) --quiet rules
	@popscan status results/demo
	@echo "The report: results/demo/report/index.html"

# A file of tests is one worker's; each has one thread, as the workers share the cores. One worker
# more than cores: some wait, for Slurm or a browser.
TEST_WORKERS ?= $(shell n=$$(($(CORES) + 1)); echo $$((n > 4 ? 4 : n)))
test: $(READY)
	@echo "Running the tests, $(TEST_WORKERS) files at once ..."
	@OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} python -m pytest -q -n $(TEST_WORKERS) --dist loadfile --no-loadscope-reorder \
	  --durations=30 --durations-min=10

OLDEST := .venv-oldest
PYTHON_OLDEST ?= python3.11
test-oldest: envs/oldest.txt
	@echo "Testing the statistics with the oldest allowed versions ..."
	@test -x $(OLDEST)/bin/python || $(PYTHON_OLDEST) -m venv $(OLDEST)
	@$(OLDEST)/bin/python -m pip install --quiet --disable-pip-version-check -r envs/oldest.txt \
	  pytest pytest-timeout hypothesis
	@PYTHONPATH=src $(OLDEST)/bin/python -m pytest -q -p no:cacheprovider \
	  tests/stats tests/associate tests/fairness tests/test_cells.py

test-slurm: $(READY)
	@echo "Running the tests on a real one-node Slurm ..."
	@python -m pytest -q -m slurm

lint: $(READY)
	ruff check .
	ruff format --check .
	snakefmt --check --line-length 100 Snakefile workflow
	codespell
	snakemake --lint --configfile config/demo.yaml

types: $(READY)
	mypy

contract: $(READY)
	lint-imports

schema: $(READY)
	popscan schema

# Examples come from what these tests report (20 minutes); those that still fit are kept.
SENTENCES := tests/report tests/fairness tests/stages tests/associate tests/qc tests/study \
  tests/visibility tests/rca tests/commands tests/experiment
sentences: $(READY)
	@echo "Collecting the sentences of the report ..."
	@PYTHONPATH=tests/helpers python -m pytest -q -p sentences -m "not workflow" $(SENTENCES)

docs: $(READY)
	@NO_MKDOCS_2_WARNING=1 python -m mkdocs build --strict --quiet
	@echo "The documentation: build/site/index.html"

# Where `snakemake --profile NAME` looks, beside the working directory.
PROFILE_HOME ?= $(if $(XDG_CONFIG_HOME),$(XDG_CONFIG_HOME),$(HOME)/.config)/snakemake
profiles:
	@mkdir -p "$(PROFILE_HOME)"
	@for profile in slurm slurm-noacct; do \
	  link="$(PROFILE_HOME)/$$profile"; \
	  if [ -e "$$link" ] && [ ! -L "$$link" ]; then echo "$$link is not a link: left as it is" >&2; \
	  else ln -sfn "$(CURDIR)/workflow/profiles/$$profile" "$$link"; \
	    echo "$$link -> workflow/profiles/$$profile"; fi; done
	@if [ ! -e profiles ]; then ln -s workflow/profiles profiles; \
	  echo "profiles -> workflow/profiles (snakemake takes profiles/default from there)"; fi

clean:
	rm -rf $(VENV) $(OLDEST) .snakemake
