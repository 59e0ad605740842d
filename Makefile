# Every target but `clean` and `help` sets up .venv first, and again whenever pyproject.toml has changed.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
STAMP := .venv/.installed
# Most tests wait for servers and processes more than they compute: three at a time keep two cores busy.
TESTERS ?= 3
# A test that hangs takes its process along, which is replaced; none takes a minute on a quiet machine.
PATIENCE := --timeout 300 --timeout-method thread
# What bench-check measures: `drains` is the servers' part, and takes a minute or more.
MEASURED ?= drain enqueue drains
# The tests start thousands of processes: each would compile every module anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo equities market scrape test chaos mutants check bench bench-check bench-peers chaos-page soak clean

help:  ## what there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-11s  %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

equities: $(STAMP)  ## load 700,000 bars into MongoDB on one core and 2 GB, beside a bare loop
	@tests/install-servers
	$(BIN)/python examples/equities/run.py --baseline

market: $(STAMP)  ## simulate 100,000 orders into PostgreSQL and MongoDB, and measure every batch size
	@tests/install-servers
	$(BIN)/python examples/market_orders/simulate.py
	$(BIN)/python examples/market_orders/performance_test.py

scrape: $(STAMP)  ## scrape 2,100 pages in five ways, with a time for each
	@tests/install-servers
	$(BIN)/python examples/scrape/run.py

demo: $(READY)  ## load 100,000 simulated orders through a file queue and count them
	$(BIN)/penstock demo

test: $(STAMP)  ## run the whole test suite, on real servers that it starts itself
	@tests/install-servers
	$(BIN)/pytest -n $(TESTERS) --dist worksteal $(PATIENCE) || { \
		echo "What failed beside other tests is run once more, by itself. What passes only now has a limit of time that is too short, or a race: it is a bug all the same."; \
		$(BIN)/pytest --last-failed --last-failed-no-failures none $(PATIENCE); }

chaos: $(STAMP)  ## kill workers, connections, servers and nodes for half an hour
	@tests/install-servers
	PENSTOCK_CHAOS=full $(BIN)/pytest tests/chaos tests/nodes

mutants: $(STAMP)  ## put one deliberate fault after another into the product, each of which must make tests fail
	@tests/install-servers
	$(BIN)/python tests/mutants/run.py

check: $(STAMP)  ## lint, format, types, layers, and the documentation's links and commands
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict src
	$(BIN)/lint-imports
	$(BIN)/pytest tests/docs/test_docs.py tests/docs/test_configuration.py

bench: $(STAMP)  ## measure, each figure beside the raw loop
	@tests/install-servers
	$(BIN)/python -m benchmarks

bench-check: $(STAMP)  ## measure all five stores for a short while, and fail where something has become far too slow
	@tests/install-servers
	$(BIN)/python -m benchmarks $(MEASURED) --quick --check

chaos-page: $(STAMP)  ## run penstock chaos on all five stores for ten minutes, and write docs/reference/chaos.md
	@tests/install-servers
	$(BIN)/python -m benchmarks.trials --every 2 --write

bench-peers: $(STAMP)  ## measure beside other task queues, each installed into an environment of its own, and write docs/reference/peers.md
	@tests/install-servers
	$(BIN)/python -m benchmarks.peers --write

soak: $(STAMP)  ## enqueue and run ten million jobs on SQLite and PostgreSQL in an hour, and write docs/reference/soak.md
	@tests/install-servers
	$(BIN)/python -m benchmarks.soak --write

clean:  ## remove .venv and every cache
	rm -rf .venv .peers build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

$(READY): pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "Penstock needs Python 3.11 or newer; install it (Debian: apt-get install python3)."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Penstock needs Python 3.11 or newer, and $(PYTHON) is $$($(PYTHON) -V 2>&1); try: make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3-venv; \
	else \
		echo "This Python can't make a virtual environment; install its venv package (Debian: sudo apt-get install python3-venv)."; exit 1; \
	fi
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(STAMP): $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@
