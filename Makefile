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

# The image, and where it is deployed. docker/README.md has the rest. IMAGE=registry.example/team/updraft:1 is one that can be pushed.
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
IMAGE ?= updraft:$(VERSION)
BINARY ?=
OFFLINE ?=
NAMESPACE ?= updraft
RELEASE ?= updraft
VALUES ?= deploy/trial.yaml
CONTEXT ?=
KUBECTL = kubectl $(if $(CONTEXT),--context $(CONTEXT)) --namespace $(NAMESPACE)
HELM = helm $(if $(CONTEXT),--kube-context $(CONTEXT)) --namespace $(NAMESPACE)
OURS = app.kubernetes.io/instance=$(RELEASE)
needs = @command -v $(1) >/dev/null || { echo "error: $(1) is missing: $(2)" >&2; exit 1; }
needs_cluster = $(call needs,kubectl,https://kubernetes.io/docs/tasks/tools)
needs_helm = $(call needs,helm,https://helm.sh/docs/intro/install)
answers = @$(KUBECTL) get --raw /readyz >/dev/null 2>&1 || { echo "error: no cluster answers: set kubectl's context (kubectl config get-contexts), or CONTEXT=name" >&2; exit 1; }

.PHONY: help run build test test-clients test-airflow test-openapi test-cluster cluster cluster-down chart verify bench bench-fleet fmt setup prepare clean image push dist deploy destroy restart ui web web-if-node web-types test-ui

help: ## Lists the targets.
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Installs what `make run` needs and is missing (Postgres, python3).
	@tools/setup.sh run

web: ## Builds the dashboard (Node.js 20.19 or newer). `make build` takes it into the binary.
	$(call needs,npm,https://nodejs.org (the rest of Updraft is built without it))
	@cd crates/dashboard/web && npm ci --no-audit --no-fund --loglevel=error && npm run --silent build

web-types: ## Writes the dashboard's types anew from the OpenAPI document. WEB_TYPES=--check only compares.
	@cd crates/dashboard/web && cargo run -q --locked -p updraft -- docs openapi | node scripts/types.js $(WEB_TYPES)

test-ui: ## The dashboard in headless Chromium against the debug build. UI_ARGS="--test-name-pattern grid" runs some.
	@tools/setup.sh ui
	@tests/e2e/run.sh $(UI_ARGS)

# With Node.js there, the dashboard is part of what is built; without, the page says how to have it.
# Only when a source is newer than what was built of it. A Node.js that is too old, or no registry, is no reason to build nothing at all.
BUILT_WEB := crates/dashboard/dist/web/index.html
web-if-node:
	@if ! command -v npm >/dev/null; then echo "note: without Node.js (npm) the dashboard is left out; 'make web' says more"; \
	elif [ ! -e $(BUILT_WEB) ] || [ -n "$$(find crates/dashboard/web -name node_modules -prune -o -type f -newer $(BUILT_WEB) -print -quit)" ]; then \
		$(MAKE) --no-print-directory web || echo "note: the dashboard could not be built and is left out; the rest does without it"; fi

build: web-if-node ## Builds the release binary and links it as bin/updraft.
	@cargo build --release --locked -p updraft
	@mkdir -p bin && ln -sf $(UPDRAFT) bin/updraft

run: setup build ## Builds and starts everything on this machine: http://127.0.0.1:8080
	@exec bin/updraft standalone --dags $(DAGS) --port $(PORT)

test: ## All tests. Starts the servers that it needs and stops them.
	@tools/setup.sh test
	@tools/test.sh

test-clients: ## Airflow's own client and airflowctl against the debug build. CLIENTS_ARGS="test_dags.py -k delete" runs some.
	@tools/setup.sh test
	@tests/clients/run.sh $(CLIENTS_ARGS)

test-airflow: ## Airflow itself reads its example files, and we do: the facts that `make test` compares with are written anew. AIRFLOW_PYTHON=python of a venv.
	@tests/airflow/run.sh

test-openapi: ## schemathesis over the OpenAPI document and the debug build. OPENAPI_ARGS=full asks more than 10,000 times.
	@tools/setup.sh test
	@tests/schemathesis/run.sh $(OPENAPI_ARGS)

test-cluster: ## The tests that need a Kubernetes: on $KUBECONFIG, or on one that is started on this machine (root, Debian 12).
	@if [ -z "$$KUBECONFIG" ]; then tools/setup.sh cluster && tools/setup.sh image; else tools/setup.sh test; fi
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

chart: ## Tests the Helm chart with Helm's own engine. CHART_ARGS=--update writes what is made from it anew.
	@tests/chart/run.sh $(CHART_ARGS)

bench: setup build ## Benchmarks: chain40, fan1000 and the floor of this machine. BENCH=chain40 BENCH_FORMAT=json
	@tools/bench.py --updraft bin/updraft $(if $(BENCH),--bench $(BENCH)) --format $(BENCH_FORMAT)

bench-fleet: build ## The same with RabbitMQ and separate roles. AIRFLOW=http://… compares with an Airflow beside it.
	@tools/setup.sh test
	@UPDRAFT_POSTGRES_FSYNC=on tools/with-rabbitmq.sh tools/with-postgres.sh tools/bench.py --fleet --updraft bin/updraft $(if $(BENCH),--bench $(BENCH)) $(if $(AIRFLOW),--airflow $(AIRFLOW)) --format $(BENCH_FORMAT)

fmt: ## Formats the code.
	@cargo fmt

image: $(if $(OFFLINE),build,$(if $(BINARY),,web-if-node)) ## Builds the image. BINARY=bin/updraft compiles nothing, OFFLINE=1 needs no registry (root, Debian), ARCHIVE=file keeps it.
	@$(if $(OFFLINE),tools/setup.sh image && BASE=$$(docker/base.sh) && export BASE &&) docker/build.sh --image $(IMAGE) \
		$(if $(OFFLINE)$(BINARY),--binary $(or $(BINARY),$(UPDRAFT))) $(if $(PLATFORM),--platform $(PLATFORM)) $(if $(ARCHIVE),--archive $(ARCHIVE))

push: $(if $(BINARY),,web-if-node) ## Builds the image and pushes it: IMAGE=registry.example/team/updraft:1
	@case "$(IMAGE)" in */*) ;; *) echo "error: $(IMAGE) names no registry: IMAGE=registry.example/team/updraft:$(VERSION)" >&2; exit 1 ;; esac
	@docker/build.sh --image $(IMAGE) --push $(if $(BINARY),--binary $(BINARY)) $(if $(PLATFORM),--platform $(PLATFORM))

dist: $(if $(BINARY),,build) ## Everything of a release, in dist/: program, image, SBOM, chart, with checksums. BINARY and OFFLINE as for image.
	@$(if $(OFFLINE),tools/setup.sh image && )docker/dist.sh $(or $(BINARY),$(UPDRAFT))

deploy: ## Installs the chart in the cluster of kubectl, or updates it: IMAGE, NAMESPACE, RELEASE, VALUES=file, CONTEXT.
	$(needs_helm)
	$(needs_cluster)
	$(answers)
	@echo "deploying $(RELEASE) of $(IMAGE) to namespace $(NAMESPACE) with $(VALUES)"
	@image=$(IMAGE) tag=latest; case $${image##*/} in *:*) tag=$${image##*:} image=$${image%:*} ;; esac; \
	$(HELM) upgrade --install $(RELEASE) deploy/helm/updraft --create-namespace --values $(VALUES) --wait --timeout 10m \
		--set-string images.updraft.repository=$$image --set-string images.updraft.tag=$$tag || \
		{ echo "error: the deploy failed: kubectl -n $(NAMESPACE) get pods,events" >&2; exit 1; }

destroy: ## Removes it from the cluster. The namespace, and a database of your own, stay.
	$(needs_helm)
	$(needs_cluster)
	$(answers)
	@echo "removing $(RELEASE) from namespace $(NAMESPACE)"
	@if $(HELM) list --all --short --filter '^$(RELEASE)$$' | grep -q .; then $(HELM) uninstall $(RELEASE) --wait; else echo "there is no $(RELEASE)"; fi

# Not a Postgres for trials, whose data would be gone.
restart: ## Restarts its pods one after the other. Running tasks go on.
	$(needs_cluster)
	$(answers)
	@found=$$($(KUBECTL) get deployments --selector '$(OURS),app.kubernetes.io/component in (scheduler,worker,api)' --output name); \
	[ -n "$$found" ] || { echo "error: there is no $(RELEASE) in namespace $(NAMESPACE): make deploy" >&2; exit 1; }; \
	echo "restarting" $$found; \
	$(KUBECTL) rollout restart $$found && for one in $$found; do $(KUBECTL) rollout status --timeout 5m $$one; done

ui: ## Opens a way to the page, until Ctrl-C: http://127.0.0.1:8080 (PORT=9090)
	$(needs_cluster)
	$(answers)
	@service=$$($(KUBECTL) get services --selector $(OURS),app.kubernetes.io/component=api --output name | head -n 1); \
	[ -n "$$service" ] || { echo "error: there is no $(RELEASE) in namespace $(NAMESPACE): make deploy" >&2; exit 1; }; \
	echo "http://127.0.0.1:$(PORT)"; \
	exec $(KUBECTL) port-forward $$service $(PORT):8080

prepare: ## Checks all SQL against a real server and writes .sqlx.
	@tools/with-postgres.sh cargo sqlx prepare --workspace -- --all-targets

clean: ## Removes what was built.
	@cargo clean
	@rm -rf bin dist
