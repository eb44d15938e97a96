# One command each; everything lives in .venv, for a Python that is named (make PYTHON=python3.13 test) in .venv-python3.13.
PYTHON ?= python3
VENV := .venv$(if $(filter-out python3,$(PYTHON)),-$(notdir $(PYTHON)))
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
FAST := tests/networks tests/replay/test_ring.py tests/replay/test_returns.py tests/data/test_rules.py \
	tests/test_layout.py tests/test_startup.py tests/cli/test_options.py tests/test_presets.py
FRESH := build/fresh

.PHONY: demo test check wheel bench docs
.DEFAULT_GOAL := demo

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -e '.[dev]'
	touch $@

demo: $(STAMP)  ## data, pre-training, fine-tuning three ways, the picture
	$(BIN)/fastrl demo --out runs/demo --resume auto

test: $(STAMP)  ## every test, two files at a time
	$(BIN)/python -m pytest -n 2 --dist loadfile --durations 12

check: $(STAMP)  ## format, lint, types, fast tests: before every commit
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q -n 2 --dist loadfile -m "not slow" $(FAST)

wheel: $(STAMP)  ## build, install into a fresh environment, use from another folder
	rm -rf dist $(FRESH)
	$(BIN)/python -m build --outdir dist .
	$(PYTHON) -m venv $(FRESH)
	$(FRESH)/bin/python -m pip install -q dist/*.whl
	cd / && $(CURDIR)/$(FRESH)/bin/fastrl --version && $(CURDIR)/$(FRESH)/bin/fastrl envs

bench: $(STAMP)  ## speed of this machine, JSON lines
	$(BIN)/fastrl bench

docs: $(STAMP)  ## the site into build/site; it needs no network to be read
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
