# make demo, make test: both create .venv on first use. `make help` lists the rest.

PYTHON ?= python3
# Exact versions; `CONSTRAINT=` (empty) takes the newest that pyproject.toml allows.
CONSTRAINT ?= constraints/ci.txt

BIN := .venv/bin
INSTALLED := .venv/.installed
# Absolute: tests run programs, and these run pip, in other folders.
export PIP_CONSTRAINT = $(abspath $(CONSTRAINT))
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: help install weights demo test check clean
.DEFAULT_GOAL := help

help: ## say what can be made
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 18

install: $(INSTALLED) ## create .venv and install chatspot with everything for training and development

$(INSTALLED): pyproject.toml $(CONSTRAINT)
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@

weights: install ## convert nano's weights now (the first answer does it otherwise)
	$(BIN)/python -c 'from chatspot.model.nano import nano_checkpoint; print(nano_checkpoint())'

demo: install ## the page in the browser; without a terminal: answers about several regions of a bundled photo
	$(BIN)/chatspot demo

test: install ## all tests, side by side, on at most four processors
	$(BIN)/python -m pytest --numprocesses logical --maxprocesses 4 --dist loadfile

check: install ## lint, types, direction of imports
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

clean: ## remove .venv and what tools leave behind; runs/ and the user's cache stay
	rm -rf .venv build dist .pytest_cache .hypothesis .mypy_cache .ruff_cache .import_linter_cache
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
