PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test lint types peers bench clean
.DELETE_ON_ERROR:
.NOTPARALLEL:

demo: $(VENV)/.plot
	$(BIN)/python -m minigraph demo

test: $(VENV)/.test
	$(BIN)/python -m pytest -n auto

lint: $(VENV)/.dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(VENV)/.dev
	rm -rf build/lib build/types
	$(BIN)/python -m pip install --quiet --no-deps --target build/types .
	$(BIN)/mypy

peers: $(VENV)/.test $(VENV)/.peers
	$(BIN)/python -m pytest tests/peers

bench: $(VENV)/.bench  # OpenBLAS is to take the kernels that fit the processor, which these two settings forbid
	env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE $(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) build dist out *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# .venv/.test says that the extra "test" is installed, and so on for each extra of setup.cfg.
$(VENV)/.%: setup.cfg pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[$*]'
	@touch $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("minigraph needs Python 3.11 or later: make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
