# `make up` runs the platform on this machine, `make test` tests it; both install what they need into .venv first.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory

VENV := .venv
PLATFORM_HOME ?= .platform
export PLATFORM_HOME := $(abspath $(PLATFORM_HOME))
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# A virtual environment or a PYTHONPATH of the caller must not leak into ours.
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV

# What is installed is what these files said; a change of either installs again.
STAMP := $(VENV)/.installed-$(shell cat requirements.lock pyproject.toml | cksum | cut -d' ' -f1)
# Each test process has emulators of its own: more of them than processors only slows all of them down.
WORKERS ?= $(shell n=$$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2); echo $$(( n < 2 ? 2 : n > 8 ? 8 : n )))
PYTEST ?=

.PHONY: help install up test lint contracts format pytest browser runbooks simulated-day benchmark benchmark-full \
	benchmark-page clean venv

help: ## This list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

install: $(STAMP) ## Make .venv with the locked packages

up: install ## Run the whole platform on this machine; Ctrl-C stops it
	@exec $(VENV)/bin/platform-assets up

test: install browser lint contracts pytest ## Everything that CI checks

lint: install ## Style, types and layers
	@echo "ruff, mypy, import-linter"
	@$(VENV)/bin/ruff check --quiet .
	@$(VENV)/bin/ruff format --quiet --check . || { echo "'make format' formats these files"; exit 1; }
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports --no-logo

contracts: install ## What the files here change about tables that the commit before did not allow
	@if git rev-parse --quiet --verify HEAD~1 >/dev/null 2>&1; then \
		$(VENV)/bin/platform-assets contract check --against HEAD~1; \
	else echo "NOTE: there is no commit before this one to compare the contracts with"; fi

format: install ## Format the code
	@$(VENV)/bin/ruff format .
	@$(VENV)/bin/ruff check --fix .

pytest: install ## The tests alone; PYTEST='-k late_event' chooses some of them
	@PATH="$(CURDIR)/$(VENV)/bin:$$PATH" $(VENV)/bin/python -m pytest -n $(WORKERS) --dist loadscope \
		--ignore platform_assets_tests/live --ignore platform_assets_tests/runbooks $(PYTEST)
	@if [ -z "$(PYTEST)" ]; then \
		PATH="$(CURDIR)/$(VENV)/bin:$$PATH" $(VENV)/bin/python -m pytest platform_assets_tests/live; fi

browser: ## Debian's chromium for the browser tests, installed if it is missing and may be
	@if command -v chromium >/dev/null || command -v chromium-browser >/dev/null; then :; \
	elif ! command -v apt-get >/dev/null; then \
		echo "NOTE: chromium is not installed and there is no apt-get to install it with." \
			"The browser tests will be skipped; put a chromium on PATH to run them."; \
	elif [ "$$(id -u)" != 0 ]; then \
		echo "NOTE: chromium is not installed. The browser tests will be skipped;" \
			"'sudo apt-get install chromium' makes them run."; \
	else \
		echo "Installing chromium for the browser tests (apt-get install chromium)"; \
		{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
			apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core; } >/dev/null || \
			echo "NOTE: chromium could not be installed (see above). The browser tests will be skipped."; \
	fi

runbooks: install ## Bring about the trouble of each runbook, type its commands, compare what comes out
	@PATH="$(CURDIR)/$(VENV)/bin:$$PATH" $(VENV)/bin/python -m pytest -n $(WORKERS) --dist loadscope platform_assets_tests/runbooks

simulated-day: install ## A day of arrivals, outages and killed processes under a moved clock; some 10 minutes
	@$(VENV)/bin/python -m platform_assets_tests.simulated_day

benchmark: install ## What is promised of speed and memory, beside what a user would pick instead
	@$(VENV)/bin/python -m benchmarks

benchmark-full: install ## The same with the long ones: scale, thousands of tables and sources
	@$(VENV)/bin/python -m benchmarks --full

benchmark-page: install ## The same, written into docs/reference/performance.md
	@$(VENV)/bin/python -m benchmarks --full --write docs/reference/performance.md

clean: ## Remove all local data, which is $PLATFORM_HOME; the installation stays
	@if [ ! -e "$(PLATFORM_HOME)" ]; then echo "$(PLATFORM_HOME) does not exist: nothing to remove"; exit 0; fi; \
	if [ ! -e "$(PLATFORM_HOME)/up.lock" ] && [ "$(PLATFORM_HOME)" != "$(CURDIR)/.platform" ]; then \
		echo "$(PLATFORM_HOME) does not look like a PLATFORM_HOME (no up.lock in it): not removed" >&2; exit 1; fi; \
	if command -v flock >/dev/null && [ -e "$(PLATFORM_HOME)/up.lock" ] && ! flock -n "$(PLATFORM_HOME)/up.lock" true; then \
		echo "The platform runs on $(PLATFORM_HOME): stop it first" >&2; exit 1; fi; \
	echo "Removing $(PLATFORM_HOME)"; rm -rf -- "$(PLATFORM_HOME)"

# An environment that an interruption left half made is made again.
$(STAMP):
	@$(VENV)/bin/python -m pip --version >/dev/null 2>&1 || $(MAKE) venv
	@echo "Installing requirements.lock into $(VENV); the first time takes some minutes"
	@PYTHONUNBUFFERED=1 $(VENV)/bin/python -m pip install --no-deps --progress-bar off -r requirements.lock 2>&1 | \
		tee $(VENV)/install.log | awk -v all="$$(grep -c == requirements.lock)" \
			'/^(Collecting|Processing|Requirement already|Ignoring) / && ++n % 25 == 0 { print "  " n " of " all " packages"; fflush() } \
			/^Installing collected/ { print "  unpacking"; fflush() }' || \
		{ tail -n 20 $(VENV)/install.log >&2; echo "pip failed; all of its output is in $(VENV)/install.log" >&2; exit 1; }
	@$(VENV)/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@rm -f $(VENV)/.installed-*
	@touch $@
	@echo "Installed"

# Among the Pythons that start here, the newest that all packages support.
venv:
	@for candidate in $(PYTHON) python3.13 python3.12 python3.11 python3; do \
		if "$$candidate" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
			>/dev/null 2>&1; then \
			echo "Making $(VENV) with $$("$$candidate" --version)"; \
			exec "$$candidate" -m venv --clear $(VENV); \
		fi; \
	done; \
	echo "No suitable Python was found. The platform needs Python 3.11, 3.12 or 3.13 with its venv module" \
		"(on Debian: apt-get install python3 python3-venv); or name one: make PYTHON=/path/to/python3.12 up" >&2; \
	exit 1
