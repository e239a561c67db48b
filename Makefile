# Everything a newcomer types. Each target makes the environment first; none needs docker, a database or an account.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

# What the caller's shell may hold and what must not reach the environment that is made here.
unexport PYTHONHOME PYTHONPATH PYTHONDONTWRITEBYTECODE PIP_USER PIP_TARGET PIP_NO_COMPILE VIRTUAL_ENV
# The sandbox is on localhost: no proxy between us and it.
comma := ,
export NO_PROXY := $(if $(NO_PROXY),$(NO_PROXY)$(comma))127.0.0.1,localhost
export no_proxy := $(NO_PROXY)

.DEFAULT_GOAL := help
.PHONY: help install demo test e2e lint airflow soak bench

help:
	@echo "make demo      one run of the nightly import to the sandbox vendors, results on screen"
	@echo "make test      lint, types and every test that is quick; five minutes or so"
	@echo "make e2e       the others: Airflow's DAGs, a browser, processes killed at every step; five minutes more"
	@echo "make airflow   Airflow with the DAGs on http://localhost:8080, beside the sandbox; Ctrl-C stops both"
	@echo "make install   just the environment, in $(VENV)"
	@echo "make lint      ruff and mypy"
	@echo "make soak      500 kills, 200 stops and every fault at random over 200,000 rows; an hour or two"
	@echo "make bench     the benchmarks"

install: $(INSTALLED)

# Only what requirements.lock names, checked against its hashes; then this project itself, which fetches nothing.
$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; name one with: make install PYTHON=/path/to/python3.11"; exit 1; }
	@echo "Making the environment in $(VENV); this takes a minute or two, once."
	@rm -f $@
	@if command -v uv >/dev/null 2>&1; then \
		{ test -x $(BIN)/python || uv venv --quiet --python "$$(command -v $(PYTHON))" $(VENV); } && \
		uv pip install --quiet --python $(BIN)/python --require-hashes --compile-bytecode -r requirements.lock && \
		uv pip install --quiet --python $(BIN)/python --offline --no-deps --no-build-isolation -e .; \
	else \
		{ test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV); } && \
		$(BIN)/pip install -qq --disable-pip-version-check --require-hashes --compile -r requirements.lock && \
		$(BIN)/pip install -qq --disable-pip-version-check --no-index --no-deps --no-build-isolation -e .; \
	fi
	@$(BIN)/python -m compileall -q etl schemas
	@touch $@

demo: install
	@$(BIN)/python -m etl.airflow.local.demo

airflow: install
	@exec $(BIN)/python -m etl.airflow.local.standalone

lint: install
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy

# All of tests/airflow is of e2e; it is not even collected, for who imports Airflow gets its logging too.
test: lint
	@tests/servers.sh mariadb pgbouncer
	@$(BIN)/python -m pytest -m "not e2e" --ignore=tests/airflow

e2e: install
	@tests/servers.sh chromium
	@$(BIN)/python -m pytest -m e2e

soak: install
	@$(BIN)/python -m tests.faults.soak

bench: install
	@$(BIN)/python -m bench
