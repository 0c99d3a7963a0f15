# The front door for people: `make demo` shows what amltool does, `make test` proves it.
# Needs Git and Python 3.10 or newer (PYTHON=... names another one); packages come from the package index.
# `make test` needs no installed service: it leaves out, and counts, the tests that need Docker, a machine over SSH or the
# package index. `make test-all` (CI) runs all: it uses the Docker that answers and touches no system, unless
# AMLTOOL_REQUIRE=docker,ssh,package-index,yarn,azurite has it install, start and make what is missing, as root (base images, Hadoop
# and Spark stay in ~/.cache/amltool-tests, 1.5 GB; AMLTOOL_TEST_DOCKER_IMAGE names another base image), and fail where that
# cannot be done.
.DEFAULT_GOAL := help
.PHONY: help setup demo test test-all lint bench fuzz torture clean

PYTHON ?= python3
VENV ?= .venv
DEMO ?= .demo
BIN := $(VENV)/bin
# Tests wait for processes and services most of their time: three times as many workers as processors keep these busy.
WORKERS ?= $(shell $(PYTHON) -c 'import os; print(3 * (os.cpu_count() or 1))')
PYTEST = $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

help: ## Say what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

$(VENV)/.stamp-dev: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "amltool needs Python 3.10 or newer: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

setup: $(VENV)/.stamp-dev ## Make a virtual environment with amltool and its tools

demo: ## Run examples/iris in a new repository, show the run, and run it again with a verdict
	PYTHON='$(PYTHON)' DEMO='$(DEMO)' sh examples/demo.sh

lint: setup ## Format and style, types, the direction of imports, Python 3.6 syntax of what travels
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/vermin --quiet --no-tips --violations --eval-annotations -t=3.6- amltool/tracking amltool/hosts/there

test: lint ## Lint, and the tests that need no installed service; AMLTOOL_REQUIRE=docker,ssh,... makes it test-all
	$(if $(AMLTOOL_REQUIRE),$(PYTEST),$(PYTEST) -m 'not torture and not component')

test-all: lint ## Everything that is checked, with Docker, machines over SSH and the package index (CI)
	$(PYTEST)

torture: setup ## The full figures of docs/reliability.md (long)
	$(BIN)/python -m pytest -m torture --timeout 3600

fuzz: setup ## 10,000 mutated configuration files of each kind
	$(BIN)/python tests/fuzz_configuration.py --count 10000

bench: setup ## The tables in benchmarks/README.md, and the one of the checks in docs/checks.md
	$(BIN)/python benchmarks/run.py
	$(BIN)/python benchmarks/checks.py

clean: ## Remove what make made
	rm -rf $(VENV) $(DEMO) .pytest_cache .mypy_cache .ruff_cache .hypothesis
