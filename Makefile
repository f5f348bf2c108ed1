# Two commands matter: `make demo` and `make test`. Both need Python 3.11 or newer and nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test test-integration fuzz check docs models benchmark clean

demo: $(VENV)/ready  ## Train on built-in data; ends with the test error and a parity plot.
	$(BIN)/crystallite train formation --target formation_energy_per_atom

test: $(VENV)/ready-test  ## Run the tests.
	$(BIN)/python -m pytest -n 2

test-integration: $(VENV)/ready-test  ## Run against real servers and a real browser: PostgreSQL and chromium, if there, and what the tests install (minutes, 1.5 GB).
	$(INSTALL) optuna-dashboard playwright axe-playwright-python
	CRYSTALLITE_TEST_CACHE=.integration $(BIN)/python -m pytest tests/integration

SECONDS ?= 600
fuzz: $(VENV)/ready-test  ## Try damaged inputs for SECONDS; see docs/reliability.md. More options: ARGUMENTS="cif --first 1000000".
	cd tests && ../$(BIN)/python -m fuzz --seconds $(SECONDS) $(ARGUMENTS)

check: $(VENV)/ready-check docs test  ## Style, types, layering of imports, documentation, tests.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(VENV)/ready-check  ## Write the documentation, with the API page made from the docstrings, to build/site; warnings are errors.
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

MP36K ?= mp36k_crysxpp
PEROV5 ?= perov5
MODELS ?= build/models
models: $(VENV)/ready  ## Train the models that come with the package (hours; resumed where it stopped). MP36K, PEROV5: folders of the data.
	$(BIN)/python scripts/make_models.py $(MP36K) $(PEROV5) $(MODELS)
	$(BIN)/python scripts/make_model_docs.py

benchmark: $(VENV)/ready  ## Measure against the published algorithm; see docs/performance.md.
	$(INSTALL) -r benchmarks/requirements.txt
	$(BIN)/python benchmarks/run.py

clean:  ## Remove the environment and all caches.
	rm -rf $(VENV) build *.egg-info src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .integration
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# PyTorch goes first and alone, so that its version is settled before anything asks for it.
$(VENV)/ready: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 ...")'
	test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check torch==2.13.0
	$(INSTALL) --editable '.[train]'
	touch $@

$(VENV)/ready-test: $(VENV)/ready
	$(INSTALL) --editable '.[test]'
	touch $@

$(VENV)/ready-check: $(VENV)/ready-test
	$(INSTALL) --editable '.[check,docs]'
	touch $@
