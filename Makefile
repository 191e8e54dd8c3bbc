# Every target works on a fresh clone: Python 3.11+ and make are all that has to be there.
SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
ifndef PYTHON
PYTHON := $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
endif
WORKERS ?= 2
PIP := $(BIN)/python -m pip --disable-pip-version-check
# uv takes half of pip's time. It reads no setting of pip: where pip has an index of its own or none, or uv fails, pip installs.
INSTALL = install() { $(BIN)/uv pip install --system-certs --python $(BIN)/python "$$@" || $(PIP) install "$$@"; }; \
	! $(PIP) config list | grep -q index || install() { $(PIP) install "$$@"; }; install
# Whatever the environment says: without kept modules pytest rewrites each test file in each worker, every time.
unexport PYTHONDONTWRITEBYTECODE

DATA ?=
RATE ?=
PORT ?=
DURATION ?=
WORKDIR ?=
DEMO_FLAGS ?=
SHORT ?=
SEED ?=
FAULTS ?=
JSON ?=
PART ?=

.PHONY: help setup setup-dev wheel demo test unit nightly chaos bench lint format lock docs notebook clean

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.installed  ## Make .venv from the lock, fetch the Kafka jars, compile the history operator (a second run does nothing)
	@$(BIN)/fraudstream setup

setup-dev: setup $(VENV)/.installed-dev

wheel: setup  ## Build dist/fraudstream-*.whl, which has the compiled history operator
	@rm -f src/fraudstream/scoring/jvm/*.jar
	@cp "$$($(BIN)/python -c 'from fraudstream.config import Settings; from fraudstream.runtime.jars import find_operator; \
		print(find_operator(Settings.load().cache))')" src/fraudstream/scoring/jvm/
	@$(PIP) wheel --quiet --no-deps --wheel-dir dist .
	@rm -f src/fraudstream/scoring/jvm/*.jar

demo: setup  ## Broker, training, stream and live page on http://localhost:5000; DATA=, RATE=, PORT=, DURATION=
	@$(BIN)/fraudstream demo --fresh $(if $(DATA),--data $(DATA)) $(if $(RATE),--rate $(RATE)) \
		$(if $(PORT),--port $(PORT)) $(if $(DURATION),--duration $(DURATION)) \
		$(if $(WORKDIR),--workdir $(WORKDIR)) $(DEMO_FLAGS)

test: setup-dev  ## Run the suite but for what `make nightly` runs
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadscope

unit: setup-dev  ## Run the tests that need no process, app or browser (about a minute)
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadscope tests/unit

nightly: setup-dev  ## Run the longest tests and the long chaos (1 to 2 hours), or PART=tests or chaos, into nightly.json
	$(BIN)/python -m benchmarks.nightly $(if $(SEED),--seed $(SEED)) $(if $(JSON),--json $(JSON)) $(if $(PART),--part $(PART))

chaos: setup-dev  ## Try to break the guarantee (45 minutes; SHORT=1: 4); SEED=, FAULTS='kill-*', ENVELOPE=debezium, JSON=file
	$(BIN)/python -m chaos $(if $(SHORT),--short) $(if $(SEED),--seed $(SEED)) $(if $(FAULTS),--faults '$(FAULTS)') \
		$(if $(ENVELOPE),--envelope '$(ENVELOPE)') $(if $(JSON),--json $(JSON))

bench: setup-dev  ## Measure the system on this machine, about 10 minutes; results in bench/
	@mkdir -p bench
	$(BIN)/python -m benchmarks latency --repeats 1 --workdir bench/work --json bench/latency.json
	$(BIN)/python -m benchmarks throughput --rows 500000 --repeats 1 --no-peers --workdir bench/work --json bench/throughput.json
	$(BIN)/python -m benchmarks recovery --repeats 1 --workdir bench/work --json bench/recovery.json
	$(BIN)/python -m benchmarks memory --duration 60 --workdir bench/work --json bench/memory.json

lint: setup-dev  ## Lint, format, types, import contracts, generated docs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python docs/generate.py --check

format: setup-dev  ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: setup-dev  ## Write the generated parts of docs/ anew
	$(BIN)/python docs/generate.py

notebook: setup-dev  ## Run docs/notebook.ipynb and store its outputs (a minute)
	$(BIN)/python docs/run_notebook.py

lock:  ## Resolve the dependencies anew into the lock files (needs uv)
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header \
		pyproject.toml -o requirements.lock
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header \
		--group dev pyproject.toml -o requirements-dev.lock
	echo uv | uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
		--no-header - -o requirements-uv.lock

clean:  ## Remove .venv, caches and the demo's folder
	rm -rf $(VENV) demo .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/.installed: requirements.lock requirements-uv.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "fraudstream needs Python 3.11 or newer; none was found on PATH" >&2; exit 3; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { \
		echo "the virtual environment could not be made; on Debian and Ubuntu: apt install python3-venv" >&2; exit 3; }
	@echo "installing the locked packages into $(VENV) (about 500 MB, the first time a few minutes) ..."
	@$(PIP) install --quiet --require-hashes -r requirements-uv.lock || true
	@$(INSTALL) --require-hashes -r requirements.lock
	@$(INSTALL) --quiet --no-deps --editable .
	@touch $@

$(VENV)/.installed-dev: requirements-dev.lock $(VENV)/.installed
	@echo "installing the locked tools of development ..."
	@$(INSTALL) --quiet --require-hashes -r requirements-dev.lock
	@touch $@
