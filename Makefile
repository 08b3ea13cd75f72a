# Everything sets itself up in .venv; the only needs are Python >= 3.11 with venv, make and the package registries.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# What runs it is installed first, so that `make demo` does not wait for tools that it has no use for.
RUNS := $(VENV)/.runs
STAMP := $(VENV)/.installed

.PHONY: demo test fleet interop check bench install clean

install: $(STAMP)

$(RUNS): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and f"swarmlab needs Python 3.11 or newer, this is {sys.version.split()[0]}: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable .
	@touch $(RUNS)

$(STAMP): $(RUNS)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $(STAMP)

# A node dies, its tasks move, the node comes back: what each strategy makes of it.
demo: $(RUNS)
	$(BIN)/swarmlab demo rejoin

# All tests with line coverage; with root and no Docker Engine one is installed and started for the Docker tests.
test: $(STAMP)
	.ci/test $(TESTS)

# Three managers and three workers as real processes: kills, partitions, full disks, recovery, and strangers at the port.
fleet: $(STAMP)
	.ci/test tests/fleet

# Both directions, step by step: stock Docker Engines join swarmlab, swarmlab joins Docker. With root; 3 where it cannot.
interop: $(STAMP)
	.ci/engine install
	PYTHONPATH=tests $(BIN)/python -m interop.story $(CHAPTERS)

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_tidy.py

bench: $(RUNS)
	$(BIN)/swarmlab bench scheduler --nodes 1000 --tasks 10000 --one-off -o json
	$(BIN)/swarmlab bench scheduler --nodes 10000 --tasks 100000 --services 1000 -o json

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage .coverage.*
