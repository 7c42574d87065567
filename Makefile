# Targets for people. Everything is installed into .venv; `make demo` needs nothing but Python 3.11 or later.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test lint

demo: $(VENV)/demo-installed
	$(BIN)/offbook demo $(DEMO)

test: $(VENV)/dev-installed
	$(BIN)/python -m pytest -q

lint: $(VENV)/dev-installed
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

$(VENV)/%-installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[$*]'
	touch $@
