VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
COMMIT ?= $(shell git rev-parse HEAD 2>/dev/null)

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-17s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: ## start everything in one process: API, workers, Temporal with its Web UI, store (data in .twtr/); ARGS='--http-addr=:3002'
	go build -o bin/dev ./dev
	@exec bin/dev $(ARGS) # not go run, which reports Ctrl-C as an error

.PHONY: migrate
migrate: ## create the store's schema or bring it up to date
	go run ./cmd/twtr migrate

.PHONY: test
test: ## run all tests, including the Cassandra store and end to end
	@scripts/test.sh

.PHONY: test-unit
test-unit: ## run the tests that need only Go
	GOWORK=off go test ./...

.PHONY: docs-test
docs-test: ## run the commands of README.md and docs/ and compare what they print
	TWTR_TEST_TEMPORAL_CLI="$$(scripts/tools.sh temporal)" GOWORK=off go -C dev test -count=1 -run TestEveryCommandOfTheDocuments .

.PHONY: fuzz
fuzz: ## fuzz the parsers of requests: cursors, tokens, bodies; 30 s each
	@for target in $$(GOWORK=off go test -list '^Fuzz' ./api | grep ^Fuzz); do \
		GOWORK=off go test -run '^$$' -fuzz "^$$target$$" -fuzztime 30s ./api || exit; \
	done

.PHONY: fuzz-api
fuzz-api: ## test the API against its OpenAPI description with schemathesis (needs Python)
	@scripts/fuzz-api.sh

.PHONY: chaos
chaos: ## break one part after the other under load, and check that nothing is lost: SEED=n, MINUTES=n (20), STORE=cassandra or sqlite, OUTAGE=15m
	GOWORK=off go -C dev run ./chaos -seed $(or $(SEED),0) -for $(or $(MINUTES),20)m -store $(or $(STORE),cassandra) -outage $(or $(OUTAGE),0) \
		-plot '$(abspath $(PLOT))'

.PHONY: soak
soak: ## 64 clients for 30 minutes without faults, with the memory and goroutines of each process: MINUTES=n (30)
	GOWORK=off go -C dev run ./chaos -only none -users 32 -for $(or $(MINUTES),30)m

.PHONY: trace-picture
trace-picture: ## draw docs/trace.svg, the trace of a tweet to many followers
	TWTR_TEST_TRACE_PICTURE='$(CURDIR)/docs/trace.svg' GOWORK=off go -C dev test -count=1 -run TestThreeProcessesWorkAsOne .

.PHONY: bench
bench: build ## benchmark against the raw store and Temporal; writes bench/ (STORE=cassandra or sqlite, ONLY=regexp)
	@STORE='$(STORE)' ONLY='$(ONLY)' scripts/bench.sh

.PHONY: bench-smoke
bench-smoke: build ## run all benchmarks briefly, to check that they work
	GOWORK=off go -C dev run ./bench -smoke -twtr "$(CURDIR)/bin/twtr"

.PHONY: bench-compare
bench-compare: ## measure it against another commit, in turns: BASE=1b9e731 (HEAD), ROUNDS=n (3)
	@BASE='$(BASE)' ROUNDS='$(ROUNDS)' ONLY='$(ONLY)' scripts/bench-compare.sh

.PHONY: histories
histories: ## rewrite the recorded workflow histories (only after a change that affects no running workflow)
	mkdir -p workflows/testdata
	TWTR_RECORD_HISTORIES=$(CURDIR)/workflows/testdata GOWORK=off go -C dev test -count=1 -run TestRecordHistories .

.PHONY: screenshots
screenshots: ## make the pictures of the page and of the Web UI in docs/ anew (needs a Chromium, or Node.js with npm to install one)
	TWTR_TEST_BROWSER=$${TWTR_TEST_BROWSER:-$$(command -v chromium || scripts/tools.sh chromium)} TWTR_TEST_SCREENSHOTS=$(CURDIR)/docs \
	GOWORK=off go -C dev test -count=1 -run TestScreenshots .

# Each module is checked with its own go.mod. The workspace is only a convenience; `go list` below checks it.
.PHONY: lint
lint: export GOWORK := off
lint: ## check format, code, known vulnerabilities, workflow determinism, go.mod files, asyncapi.yaml, shell scripts and GitHub's workflows
	@files=$$(gofmt -l .); [ -z "$$files" ] || { echo "not formatted by gofmt:"; echo "$$files"; exit 1; }
	go vet ./...
	go -C dev vet ./...
	linter=$$(scripts/tools.sh golangci-lint) && "$$linter" run ./... && cd dev && "$$linter" run ./...
	"$$(scripts/tools.sh workflowcheck)" ./workflows/...
	scripts/vulncheck.sh
	go mod tidy -diff
	go -C dev mod tidy -diff
	GOWORK= go list -deps ./dev ./cmd/twtr >/dev/null
	@if command -v npm >/dev/null; then set -x; schema=$$(scripts/tools.sh asyncapi-schema) && TWTR_TEST_ASYNCAPI_SCHEMA=$$schema go test -run AsyncAPI ./api; \
	else echo "NOT CHECKED: api/asyncapi.yaml (no npm to install the schema of AsyncAPI)"; fi
	@if python3 -m pip --version >/dev/null 2>&1; then set -x; "$$(scripts/tools.sh shellcheck)" .ci/run scripts/*.sh dev/cluster/*.sh dev/*/*/*.sh && \
	"$$(scripts/tools.sh actionlint)" -shellcheck "$$(scripts/tools.sh shellcheck)" .github/workflows/*.yml; \
	else echo "NOT CHECKED: the shell scripts and the workflows (no Python with pip to install shellcheck)"; fi

.PHONY: build
build: ## build bin/twtr, a static binary
	CGO_ENABLED=0 GOWORK=off go build -trimpath -ldflags '-s -w -X main.version=$(VERSION) -X github.com/twtr-dev/twtr/cmd.commit=$(COMMIT)' -o bin/twtr ./cmd/twtr

.PHONY: docker-build
docker-build: ## build the image twtr:TAG (default: the version) for this machine
	@TAG='$(TAG)' scripts/docker-build-push.sh build

.PHONY: docker-build-push
docker-build-push: ## build the image for amd64 and arm64 and push it: REGISTRY=registry.example.com/team TAG=v1
	@REGISTRY='$(REGISTRY)' TAG='$(TAG)' scripts/docker-build-push.sh push

.PHONY: release-dry-run
release-dry-run: ## make everything of a release in dist/ and publish nothing: TAG=v0.1.0, REGISTRY, PLATFORMS
	@scripts/release.sh --dry-run '$(TAG)'

.PHONY: top-svg
top-svg: ## record twtr top while tweets are delivered: docs/top.svg
	@scripts/top-svg.sh

.PHONY: up
up: ## start everything as containers (docker-compose.yml); creates the secrets in .env
	@scripts/compose.sh up

.PHONY: down
down: ## stop the containers (keeps the data)
	@scripts/compose.sh down

.PHONY: logs
logs: ## follow the containers' logs
	@scripts/compose.sh logs

.PHONY: cluster-test
cluster-test: ## test the image and the chart on a Kubernetes node of its own (Linux, root, apt), or CLUSTER=existing; ONLY=regexp
	@CLUSTER='$(CLUSTER)' ONLY='$(ONLY)' scripts/cluster-test.sh

.PHONY: image-test
image-test: ## test what docker-build-push pushes: platforms, SBOM and provenance (Linux, root, apt)
	@scripts/image-test.sh

.PHONY: compose-test
compose-test: ## test the containers on a Docker engine, with restarts and crashes under load; keeps the data of make up
	@scripts/compose-test.sh

.PHONY: setup-k8s
setup-k8s: ## prepare a Kubernetes cluster: namespace twtr-dev, an account that may deploy there, its limits (WITH=keda)
	@scripts/setup-k8s.sh

# scripts/helm.sh takes ARGS from the environment: a shell here would eat its backslashes.
.PHONY: helm-install
helm-install: ## install the chart: ARGS='-f values.yaml --set image.tag=v1' (NAMESPACE twtr-dev, RELEASE twtr)
	@scripts/helm.sh install

.PHONY: helm-upgrade
helm-upgrade: ## upgrade the chart; keeps values that were set
	@scripts/helm.sh upgrade

.PHONY: helm-debug
helm-debug: ## print what would be installed; needs no cluster
	@scripts/helm.sh debug

.PHONY: helm-purge
helm-purge: ## uninstall the chart; keeps the data
	@scripts/helm.sh purge

.PHONY: helm-test
helm-test: ## test the chart: lint, Kubernetes' schemas, assertions, its processes; needs no cluster
	@scripts/helm.sh test

.PHONY: clean
clean: ## remove build output (not the data in .twtr/)
	rm -rf bin dist
