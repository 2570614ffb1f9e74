# Everything a user runs. `make help` lists it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help install up down demo check test test-commands test-integration test-e2e test-others test-all test-web \
	simulate simulate-planted chaos loadtest bench bench-peers docs clean

help: ## list these targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  \1\t/' | expand -t 14

$(VENV)/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Autopilot needs Python 3.11, 3.12 or 3.13; this is %d.%d" % sys.version_info[:2] if not (3, 11) <= sys.version_info[:2] <= (3, 13) else 0)'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing the locked packages into $(VENV) …"
	@if command -v uv >/dev/null 2>&1; then \
	  VIRTUAL_ENV=$(VENV) uv pip install -q --require-hashes -r requirements.lock; \
	else \
	  $(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements.lock; \
	fi
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-build-isolation --no-deps -e .
	@touch $@

install: $(VENV)/.installed ## everything needed to run and test, nothing started
	@:

up: install ## start the embedded stack and stay with it until Ctrl-C
	@$(BIN)/autopilot up

down: install ## stop the stack of this directory
	@$(BIN)/autopilot down

demo: install ## real tasks on an example repository, from submit to pull request
	@$(BIN)/autopilot demo

check: install ## format, lint, types, imports
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo 2>/dev/null || $(BIN)/lint-imports

test: install ## every test but the long drills; format, lint, types and imports beside them
# Three at a time, because each waits for other processes half of its time; the longest first, so that they end together.
	@$(MAKE) --no-print-directory --jobs=3 --output-sync=target test-e2e test-commands test-integration test-others check

# Where a repository's commands are run, or its git.
COMMANDS := $(addprefix tests/integration/,forge git repair resolution sandbox stage_runner verification)

test-commands: install
	@$(BIN)/python -m pytest -q $(COMMANDS)

test-integration: install
	@$(BIN)/python -m pytest -q $(addprefix --ignore=,$(COMMANDS)) tests/integration

test-others: install
	@$(BIN)/python -m pytest -q --ignore=tests/e2e --ignore=tests/integration tests

test-e2e: install
	@$(BIN)/python -m pytest -q -m "not drill" tests/e2e

test-all: test ## every test there is, long drills included, and every property with examples of its own
# Hours are usual here; each drill has limits of its own.
	@$(BIN)/python -m pytest -q -m "drill or hypothesis" --hypothesis-profile roaming -o timeout=0 -o faulthandler_timeout=0 tests

test-web: install ## the page in a real browser (needs Debian's chromium; without one these tests are skipped)
	@$(BIN)/python -m pytest -q tests/web

simulate: SEEDS ?= 1000
simulate: install ## SEEDS=1000 runs of all services in one process, with everything going wrong, each from its seed
	@$(BIN)/python -m tests.simulation --seeds $(SEEDS) --json build/simulation.json

simulate-planted: install ## known bugs planted into a copy of the tree: each has to be found by `simulate`
	@$(BIN)/python -m tests.simulation.planting

chaos: install ## break the stack in every way we know, under load (about an hour); CHAOS="kill gate" for one case
	@$(BIN)/python -m loadtest.chaos --json build/chaos.json $(if $(CHAOS),"$(CHAOS)")

loadtest: install ## users on a stack of its own, 100 tasks at once; figures per route and stage (SECONDS=90 USERS=60; CONTAINERS=1: on the compose stack)
	@$(BIN)/python -m loadtest.traffic $(if $(CONTAINERS),--containers) --seconds $(or $(SECONDS),90) --users $(or $(USERS),60) --json build/loadtest.json

bench: install ## how fast it is beside a bare client and a hand-written floor: SECTION=record|scheduler|w8, default all three
	@$(BIN)/python -m loadtest.bench --section $(or $(SECTION),record scheduler w8)

bench-peers: install ## the same work on Restate and DBOS, installed below build/peers (needs npm)
	@$(BIN)/python -m loadtest.bench --section peers --tasks 200

docs: install ## write what derives from the event classes: docs/events.md, contracts/schemas, topology
	@$(BIN)/python -m autopilot.documents

clean: ## remove what was built; the data directory stays
	@rm -rf $(VENV) build .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find . -name __pycache__ -prune -exec rm -rf {} +
