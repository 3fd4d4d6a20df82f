# The list of commands. `make help` prints it.
.DEFAULT_GOAL := help
SHELL := /bin/bash

TARGET := $(or $(CARGO_TARGET_DIR),target)
VENV := .venv
PEERS := $(TARGET)/bench-peers

.PHONY: help
help: ## Print this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-18s %s\n", $$1, $$2}'

.PHONY: demo
demo: ## Install what is missing, build, and run everything beside a small shop on Celery; Ctrl-C ends it all
	@scripts/setup demo
	@$(MAKE) --no-print-directory build
	@demo/run

.PHONY: build
build: dashboard/dist/assets ## Build the dashboard and the release binary
	cargo build --release --locked -p taskplane

.PHONY: wheel
wheel: ## Build the Python package for Linux (manylinux2014, x86-64) into dist/
	@scripts/wheel

.PHONY: test
test: ## Set up, and pass every test
	@scripts/setup test
	@scripts/test

.PHONY: check
check: ## Format, lints, types, house rules, generated files
	@scripts/setup check
	@scripts/check

.PHONY: simulation
simulation: ## Run 100,000 seeds of the simulation (SEEDS=<number> for another number)
	TASKPLANE_SIMULATION_SEEDS=$(or $(SEEDS),100000) cargo test --release --locked -p taskplane-simulation --test seeds -- --nocapture

.PHONY: bench
bench: build ## Load a real brain, verify what it acked, print JSON
	cargo build --release --locked -p taskplane-bench
	$(TARGET)/release/taskplane-bench --binary $(TARGET)/release/taskplane $(BENCH_ARGS)

.PHONY: bench-fill
bench-fill: ## Store 10 million tasks in /tmp/taskplane-bench, to read from (FILL_ARGS="--tasks N --days D --folder F")
	cargo build --release --locked -p taskplane-bench
	$(TARGET)/release/taskplane-bench fill $(FILL_ARGS)

.PHONY: bench-reads
bench-reads: build bench-fill ## Time and verify every reading call on them while events come in (READS_ARGS="--seconds 180")
	$(TARGET)/release/taskplane-bench reads --binary $(TARGET)/release/taskplane $(READS_ARGS)

.PHONY: bench-retention
bench-retention: build bench-fill ## Drop the oldest of a copy of them while events come in (RETENTION_ARGS="--drop N --rate N")
	$(TARGET)/release/taskplane-bench retention --binary $(TARGET)/release/taskplane $(RETENTION_ARGS)

.PHONY: bench-backup
bench-backup: build bench-fill ## Back a copy of them up while events come in (BACKUP_ARGS="--rate N")
	$(TARGET)/release/taskplane-bench backup --binary $(TARGET)/release/taskplane $(BACKUP_ARGS)

.PHONY: bench-connections
bench-connections: build ## Connect 10,000 idle agents, kill the brain, and let all come back (CONNECTIONS_ARGS="--agents N --heartbeat S")
	cargo build --release --locked -p taskplane-bench
	$(TARGET)/release/taskplane-bench connections --binary $(TARGET)/release/taskplane $(CONNECTIONS_ARGS)

.PHONY: bench-live
bench-live: build ## Open 200 dashboards at 5,000 events a second; some of them do not read (LIVE_ARGS="--dashboards N --rate N")
	cargo build --release --locked -p taskplane-bench
	$(TARGET)/release/taskplane-bench live --binary $(TARGET)/release/taskplane $(LIVE_ARGS)

.PHONY: bench-worker
bench-worker: build ## Compare a Celery worker beside the agent with the same worker alone (WORKER_ARGS="--pools threads --rounds N")
	@scripts/setup test
	$(VENV)/bin/python bench/worker/compare.py --binary $(TARGET)/release/taskplane $(WORKER_ARGS)

.PHONY: bench-python
bench-python: build bench-wheel ## Compare a Celery worker with our agent in its process with others' agents and none (PYTHON_ARGS="--pools solo --turns N")
	$(PEERS)/bin/python bench/worker/peers.py --binary $(TARGET)/release/taskplane $(PYTHON_ARGS)

.PHONY: bench-switched
bench-switched: build bench-wheel ## Compare a Celery worker with itself, our agent's receivers connected and not (SWITCHED_ARGS="--workers N --turns N")
	$(PEERS)/bin/python bench/worker/switched.py --binary $(TARGET)/release/taskplane $(SWITCHED_ARGS)

.PHONY: bench-instructions
bench-instructions: build bench-wheel ## Count what a task takes in a Celery worker, with our agent and without; needs valgrind
	$(PEERS)/bin/python bench/worker/instructions.py --binary $(TARGET)/release/taskplane

.PHONY: bench-wheel
bench-wheel: $(PEERS)/.installed
	@rm -rf $(PEERS)/wheels
	$(PEERS)/bin/maturin build --release --locked --manifest-path python/Cargo.toml --out $(PEERS)/wheels
	@$(PEERS)/bin/pip install --quiet --disable-pip-version-check --force-reinstall --no-deps $(PEERS)/wheels/*.whl

$(PEERS)/.installed: bench/worker/requirements-peers.txt python/requirements-build.txt
	@scripts/setup demo
	python3 -m venv $(PEERS)
	$(PEERS)/bin/pip install --quiet --disable-pip-version-check $(addprefix -r ,$^)
	@touch $@

.PHONY: fuzz
fuzz: ## Fuzz everything that reads foreign bytes, FUZZ_SECONDS (60) a target
	@scripts/fuzz

.PHONY: generate
generate: dashboard/node_modules ## Write generated files: OpenAPI document, the dashboard's types, the protocol's schemas
	cargo run --quiet --locked -p taskplane-xtask -- openapi
	cargo run --quiet --locked -p taskplane-xtask -- schema
	cd dashboard && npm run --silent gen

.PHONY: format
format: ## Format all code
	cargo fmt --all
	$(VENV)/bin/ruff format bench demo e2e crates examples python scripts
	$(VENV)/bin/ruff check --fix bench demo e2e crates examples python scripts

.PHONY: screenshots
screenshots: ## Take the README's pictures of the dashboard from a running demo (LINK=<sign-in link>)
	cd dashboard && node e2e/screenshots.mjs "$(LINK)" ../docs/images

.PHONY: clean
clean: ## Remove what was built
	cargo clean
	rm -rf dashboard/dist dashboard/node_modules .demo dist $(VENV) $(VENV)-earlier $(VENV)-wheel

dashboard/node_modules: dashboard/package-lock.json
	cd dashboard && npm ci --no-audit --no-fund
	@touch $@

# The folder of assets, not index.html: without a dashboard, the Rust build puts a placeholder page there.
dashboard/dist/assets: dashboard/node_modules $(shell find dashboard/src dashboard/index.html dashboard/vite.config.ts -type f 2>/dev/null)
	cd dashboard && npm run --silent build
	@touch $@
