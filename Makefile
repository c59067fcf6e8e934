# Two commands: `make app` serves the live pages, `make test` checks everything. Both build .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 5006

.PHONY: app test lint types rooms unit benchmark clean

app: $(VENV)/installed
	$(BIN)/spinviz serve --port $(PORT)

test: $(VENV)/installed lint types rooms unit

lint:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types:
	$(BIN)/mypy

rooms:
	$(BIN)/lint-imports

unit:
	$(BIN)/python -m pytest

benchmark: $(VENV)/installed
	$(BIN)/python -m pip install -q -c constraints.txt -e ".[benchmark]"
	$(BIN)/python -m tests.benchmarks

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "spinviz needs Python 3.11 or newer, got " + sys.version'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -c constraints.txt torch
	$(BIN)/python -m pip install -q -c constraints.txt -e ".[test]"
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info
