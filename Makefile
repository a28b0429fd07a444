# Every target starts from a clean clone: it needs Python 3.11+, make and the package registries.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PACKAGE := -c constraints.txt -e ".[aws,kafka,lakes,models,postgres,redis,server,snowflake,spark,traces,ui,demo,dev]"
export PATH := $(CURDIR)/$(BIN):$(PATH)
export DAGSTER_HOME := $(CURDIR)
export PYTHONUNBUFFERED := 1

.DEFAULT_GOAL := help
.PHONY: help demo dev quick test check contract reliability bench bench-dagster bench-historical bench-materialize bench-online bench-registry bench-server bench-startup soak feast-client migration structure lock clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

demo: $(VENV)/.installed ## A platform team and two product teams share a feature store on real flights
	@$(BIN)/python demo.py

dev: $(VENV)/.installed ## Open the Dagster UI with every code location, on http://localhost:3000
	@echo "==> dg dev: the UI will be on http://localhost:3000 (Ctrl-C ends it)"
	@$(BIN)/dg dev -w workspace.yaml

test: check ## Check the code, then run every test
	@echo "==> tests"
	@$(BIN)/python -m compileall -q feature_platform # hundreds of processes start, also where Python writes none
	@$(BIN)/pytest -n 3 --dist loadgroup

quick: $(VENV)/.installed ## The tests that need no server and no Spark, in about three minutes
	@$(BIN)/pytest -n 2 -m "not slow"

check: $(VENV)/.installed ## Lint, types and import layers
	@echo "==> ruff"; $(BIN)/ruff check . && $(BIN)/ruff format --check .
	@echo "==> mypy"; $(BIN)/mypy
	@echo "==> import layers"; $(BIN)/lint-imports

contract: $(VENV)/.installed ## 20,000 random joins on DuckDB, 500 on Spark and Snowflake's emulator, 2,100 over two stores; 5,000 random writes online
	@CONTRACT=1 $(BIN)/pytest tests/offline/test_contract.py tests/offline/test_side_by_side.py tests/online/test_contract.py -k "plain_python or newest_row" --timeout 3000

reliability: $(VENV)/.installed ## Try to make the registry lose something; writes docs/reliability.md
	@PYTHONPATH=tests $(BIN)/python -m reliability

bench: $(VENV)/.installed ## Measure against raw DuckDB and SQLite
	@$(BIN)/python -m bench

bench-historical: $(VENV)/.installed $(VENV)/.feast ## Measure training sets beside raw DuckDB and Feast; writes docs/bench_historical.md
	@$(BIN)/python -m bench.historical

bench-materialize: $(VENV)/.installed $(VENV)/.feast ## Measure loads beside the raw engines and Feast; writes docs/bench_materialize.md
	@$(BIN)/python -m bench.materialize

bench-online: $(VENV)/.installed $(VENV)/.feast ## Measure online reads beside the raw round trip and Feast; writes docs/bench_online.md
	@$(BIN)/python -m bench.online

bench-dagster: $(VENV)/.installed ## Measure the Dagster layer beside bare Dagster; writes docs/bench_dagster.md
	@$(BIN)/python -m bench.dagster

bench-registry: $(VENV)/.installed $(VENV)/.feast ## Measure the registry beside Feast's; writes docs/bench_registry.md
	@$(BIN)/python -m bench.registry

bench-startup: $(VENV)/.installed $(VENV)/.feast ## Measure commands and first answers beside Feast's; writes docs/bench_startup.md
	@$(BIN)/python -m bench.startup

bench-server: $(VENV)/.installed $(VENV)/.feast ## Measure the feature server beside Feast's; writes docs/bench_server.md
	@$(BIN)/python -m bench.server

soak: $(VENV)/.installed ## Ten minutes of requests while Redis is stopped and started; writes docs/soak_server.json
	@$(BIN)/python -m bench.server.soak

feast-client: $(VENV)/.installed $(VENV)/.feast ## An unmodified Feast client reads and writes through our server; takes minutes
	@$(BIN)/python -m bench.server.client

$(VENV)/.feast: $(VENV)/.uv bench/feast.txt
	@echo "==> installing Feast into an environment of its own"
	@$(BIN)/uv venv -q --clear --python $(BIN)/python $(VENV)/feast
	@$(BIN)/uv pip install -q --system-certs --python $(VENV)/feast/bin/python -r bench/feast.txt
	@touch $@

migration: $(VENV)/.installed ## Try the Feast repos below REPOS with only the import changed
	@$(BIN)/python tools/migration.py $(REPOS)

structure: $(VENV)/.installed ## Measure the structure of the package
	@$(BIN)/python tools/structure.py

lock: $(VENV)/.uv ## Resolve the dependencies again into constraints.txt
	@$(BIN)/uv pip compile -q --system-certs --upgrade --universal --python-version 3.11 --all-extras --no-annotate --no-header pyproject.toml -o constraints.txt

clean: ## Remove the environment and everything the demo made
	rm -rf $(VENV) data .dagster

$(VENV)/.uv:
	@echo "==> creating $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -c 'import sys; sys.exit("feature_platform needs Python 3.11 or newer; set PYTHON=python3.11" if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -q --disable-pip-version-check "uv==0.13.8"
	@touch $@

$(VENV)/.installed: $(VENV)/.uv pyproject.toml constraints.txt
	@echo "==> installing the pinned dependencies (about 2 GB, a minute)"
	@$(BIN)/uv pip install -q --system-certs --compile-bytecode --python $(BIN)/python $(PACKAGE) || \
	  { echo "==> uv could not; pip, with its own settings, takes some minutes"; \
	    $(BIN)/python -m pip install -q --disable-pip-version-check $(PACKAGE); }
	@touch $@
