# Targets for people. A machine needs Python 3.11 or later and nothing else: each target makes the virtual environment
# and installs what it needs, once; a change of pyproject.toml has it installed again.

.PHONY: demo test chromium lint bench soak format clean
.DEFAULT_GOAL := help

PYTHON ?= $(shell for name in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$name && break; done)

# The environment is .venv, but not always. PostgreSQL does not run as root, so tests that root runs start it as
# another user, and its package opens every folder above it to everybody for that. Where those folders are closed (a
# checkout in root's home), the environment lies outside of them.
ifndef VENV
VENV := $(shell if [ "$$(id -u)" != 0 ] || su -s /bin/sh nobody -c 'test -x "$(CURDIR)"' 2>/dev/null; then echo .venv; \
	else echo /var/cache/offbook/venv-$$(echo '$(CURDIR)' | cksum | cut -d' ' -f1); fi)
endif
BIN := $(VENV)/bin

# The figures of docs/performance.md.
BENCHMARKS ?= status status_under_load throughput live_memory loop_actor resume recovery drain cancel

help:
	@echo 'make demo    write a short book with a local model, lose the model, go on (DEMO="--provider scripted": without it)'
	@echo 'make test    run the tests (TESTS="tests/web -k etag" for some)'
	@echo 'make lint    ruff, mypy, import-linter'
	@echo 'make format  have ruff put the code in order'
	@echo 'make bench   measure what docs/performance.md says (BENCHMARKS="status resume" for some)'
	@echo 'make soak    chaos, torn writes, leaks, the simulator: for hours; what it printed counts (SEEDS=1000000)'
	@echo 'make clean   remove the environment and what was built'
	@echo
	@echo 'environment: $(VENV)'

demo: $(VENV)/demo-installed
	$(BIN)/offbook demo $(DEMO)

# Two processes at most: much of the suite waits, and some of it minds how busy the machine is.
test: $(VENV)/dev-installed chromium
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -q -n auto --maxprocesses 2 --dist loadfile --no-loadscope-reorder $(TESTS)

# The page is tested in a real browser: Debian's where there is apt and root, else the one that Playwright brings.
chromium: $(VENV)/dev-installed
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null \
		|| test -n '$(OFFBOOK_CHROMIUM)' || ls -d $(HOME)/.cache/ms-playwright/chromium* >/dev/null 2>&1 \
		|| { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
			&& { apt-get install -qq -y chromium || { apt-get update -qq && apt-get install -qq -y chromium; }; } >/dev/null; } \
		|| $(BIN)/python -m playwright install chromium \
		|| { echo 'there is no Chromium and it cannot be installed: install one, or name it in OFFBOOK_CHROMIUM' >&2; exit 1; }

lint: $(VENV)/dev-installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy scripts/*.py
	$(BIN)/lint-imports

format: $(VENV)/dev-installed
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

bench: $(VENV)/dev-installed
	@for name in $(BENCHMARKS); do $(BIN)/python -m benchmarks.$$name --json || exit 1; done

SEEDS ?= 1000000

soak: $(VENV)/dev-installed
	OFFBOOK_SOAK=1 $(BIN)/python -m pytest -q -s tests/chaos tests/persistence/test_journal.py
	$(BIN)/python -m tests.simulation --seeds $(SEEDS) --start 1000

clean:
	rm -rf $(VENV) build dist offbook.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

$(BIN)/python:
	@test -n '$(PYTHON)' || { echo 'Offbook needs Python 3.11 or later; none is on the PATH (PYTHON=... names one)' >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo 'the virtual environment cannot be made; on Debian and Ubuntu: apt install python3-venv' >&2; exit 1; }

# One stamp for each extra. `make` compares its time with pyproject.toml's, so an installed environment costs nothing.
$(VENV)/%-installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$*]'
	@touch $@
