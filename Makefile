# Two commands do everything on a machine with Python 3.11 or newer: make run, make test.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test ray s3 browser slow lint format bench clean

$(BIN)/dedup: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable ".[report]"
	touch $(BIN)/dedup

$(VENV)/dev: $(BIN)/dedup pyproject.toml
	$(BIN)/python -m pip install --quiet --editable ".[dev,bench]"
	touch $(VENV)/dev

run: $(BIN)/dedup
	$(BIN)/python -m dedup.sample data/sample
	$(BIN)/dedup run configs/quickstart.toml

test: $(VENV)/dev
	$(BIN)/python -m pytest -m "not slow and not ray and not s3 and not browser" --numprocesses auto

# One process: every other would start a Ray of its own.
ray: $(VENV)/dev
	$(BIN)/python -m pip install --quiet --editable ".[ray]"
	NEEDS_RAY=1 $(BIN)/python -m pytest -m "ray and not slow"

# Each process starts a server of its own.
s3: $(VENV)/dev
	NEEDS_S3=1 $(BIN)/python -m pytest -m "s3 and not slow and not ray" --numprocesses auto

# Pages are drawn, and looked at in a real browser.
browser: $(VENV)/dev
	$(BIN)/python -m pip install --quiet --editable ".[report]"
	NEEDS_BROWSER=1 $(BIN)/python -m pytest -m "browser and not slow"

slow: $(VENV)/dev
	$(BIN)/python -m pytest -m slow

lint: $(VENV)/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(VENV)/dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/dev
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) data out
