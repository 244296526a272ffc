# `make run` starts everything on this machine; `make test` and `make verify` are what CI runs.
#
# All builds share one target folder outside the checkout, so that clones and CI are warm.
CARGO_TARGET_DIR ?= $(HOME)/.cache/updraft/target
export CARGO_TARGET_DIR
export SQLX_OFFLINE ?= true

PORT ?= 8080
DAGS ?= dags
BENCH ?=
BENCH_FORMAT ?= text
UPDRAFT := $(CARGO_TARGET_DIR)/release/updraft

.PHONY: help run build test test-cluster cluster cluster-down verify bench bench-fleet fmt setup prepare clean

help: ## Lists the targets.
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Installs what `make run` needs and is missing (Postgres, python3).
	@tools/setup.sh run

build: ## Builds the release binary and links it as bin/updraft.
	@cargo build --release --locked -p updraft
	@mkdir -p bin && ln -sf $(UPDRAFT) bin/updraft

run: setup build ## Builds and starts everything on this machine: http://127.0.0.1:8080
	@exec bin/updraft standalone --dags $(DAGS) --port $(PORT)

test: ## All tests. Starts the servers that it needs and stops them.
	@tools/setup.sh test
	@tools/test.sh

test-cluster: ## The tests that need a Kubernetes: on $KUBECONFIG, or on one that is started on this machine (root, Debian 12).
	@if [ -z "$$KUBECONFIG" ]; then tools/setup.sh cluster; else tools/setup.sh test; fi
	@tests/cluster/run.sh

cluster: ## Starts a Kubernetes for tests on this machine (root, Debian 12). See tests/cluster/README.md.
	@tools/setup.sh cluster
	@tests/cluster/cluster up
	@echo "export KUBECONFIG=$$(tests/cluster/cluster kubeconfig)"

cluster-down: ## Stops it.
	@tests/cluster/cluster down

verify: ## Formatting, lints, docs, dependencies, prepared queries, crate rules.
	@tools/setup.sh verify
	@tools/verify.sh

bench: setup build ## Benchmarks: chain40, fan1000 and the floor of this machine. BENCH=chain40 BENCH_FORMAT=json
	@tools/bench.py --updraft bin/updraft $(if $(BENCH),--bench $(BENCH)) --format $(BENCH_FORMAT)

bench-fleet: build ## The same with RabbitMQ and separate roles. AIRFLOW=http://… compares with an Airflow beside it.
	@tools/setup.sh test
	@UPDRAFT_POSTGRES_FSYNC=on tools/with-rabbitmq.sh tools/with-postgres.sh tools/bench.py --fleet --updraft bin/updraft $(if $(BENCH),--bench $(BENCH)) $(if $(AIRFLOW),--airflow $(AIRFLOW)) --format $(BENCH_FORMAT)

fmt: ## Formats the code.
	@cargo fmt

prepare: ## Checks all SQL against a real server and writes .sqlx.
	@tools/with-postgres.sh cargo sqlx prepare --workspace -- --all-targets

clean: ## Removes what was built.
	@cargo clean
	@rm -rf bin
