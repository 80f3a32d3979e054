VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)

.PHONY: help
help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-17s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: ## start everything in one process: API, workers, Temporal with its Web UI, store (data in .twtr/)
	go build -o bin/dev ./dev
	@exec bin/dev # and not go run, which calls Ctrl-C an error

.PHONY: migrate
migrate: ## bring the store's schema up to date
	go run ./cmd/twtr migrate

.PHONY: test
test: ## run all tests, those of the Cassandra store and end-to-end ones too
	@scripts/test.sh

.PHONY: test-unit
test-unit: ## run the tests that need nothing but Go
	GOWORK=off go test ./...

.PHONY: fuzz
fuzz: ## fuzz what reads a request: cursors, tokens, bodies; 30 s each
	@for target in $$(GOWORK=off go test -list '^Fuzz' ./api | grep ^Fuzz); do \
		GOWORK=off go test -run '^$$' -fuzz "^$$target$$" -fuzztime 30s ./api || exit; \
	done

.PHONY: fuzz-api
fuzz-api: ## have schemathesis try whether the API keeps to its OpenAPI description (needs Python)
	@scripts/fuzz-api.sh

.PHONY: bench
bench: ## measure it beside the limits of what it stands on; writes bench/ (STORE=cassandra or sqlite, ONLY=regexp)
	@STORE='$(STORE)' ONLY='$(ONLY)' scripts/bench.sh

.PHONY: bench-smoke
bench-smoke: ## run all benchmarks, small and short, to see that they work
	GOWORK=off go -C dev run ./bench -smoke

.PHONY: histories
histories: ## record anew the workflow histories that the tests replay (after a change that no running workflow can meet)
	mkdir -p workflows/testdata
	TWTR_RECORD_HISTORIES=$(CURDIR)/workflows/testdata GOWORK=off go -C dev test -count=1 -run TestRecordHistories .

# Each module by its own go.mod; the workspace is only a convenience, checked by the last line but one.
.PHONY: lint
lint: export GOWORK := off
lint: ## check format, code, workflow determinism, go.mod files and scripts
	@files=$$(gofmt -l .); [ -z "$$files" ] || { echo "not in gofmt's format:"; echo "$$files"; exit 1; }
	go vet ./...
	go -C dev vet ./...
	linter=$$(scripts/tools.sh golangci-lint) && "$$linter" run ./... && cd dev && "$$linter" run ./...
	"$$(scripts/tools.sh workflowcheck)" ./workflows/...
	go mod tidy -diff
	go -C dev mod tidy -diff
	GOWORK= go list -deps ./dev ./cmd/twtr >/dev/null
	@if python3 -m pip --version >/dev/null 2>&1; then set -x; "$$(scripts/tools.sh shellcheck)" .ci/run scripts/*.sh; \
	else echo "NOT CHECKED: the shell scripts (no Python with pip to install shellcheck)"; fi

.PHONY: build
build: ## make bin/twtr, static
	CGO_ENABLED=0 GOWORK=off go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/twtr ./cmd/twtr

.PHONY: docker-build
docker-build: ## make the image twtr:TAG (TAG: the version), for this machine
	@TAG='$(TAG)' scripts/docker-build-push.sh build

.PHONY: docker-build-push
docker-build-push: ## make the image for amd64 and arm64, and push it: REGISTRY=registry.example.com/team TAG=v1
	@REGISTRY='$(REGISTRY)' TAG='$(TAG)' scripts/docker-build-push.sh push

.PHONY: up
up: ## start everything as containers (docker-compose.yml), and make the secrets in .env
	@scripts/compose.sh up

.PHONY: down
down: ## stop them (data stays)
	@scripts/compose.sh down

.PHONY: logs
logs: ## show what they log
	@scripts/compose.sh logs

.PHONY: setup-k8s
setup-k8s: ## prepare a Kubernetes cluster: namespace twtr-dev, and an account that may deploy there
	@scripts/setup-k8s.sh

.PHONY: helm-install
helm-install: ## install the chart: ARGS='-f values.yaml --set image.tag=v1' (NAMESPACE twtr-dev, RELEASE twtr)
	@scripts/helm.sh install $(ARGS)

.PHONY: helm-upgrade
helm-upgrade: ## upgrade it; values that were set stay set
	@scripts/helm.sh upgrade $(ARGS)

.PHONY: helm-debug
helm-debug: ## show what would be installed; needs no cluster
	@scripts/helm.sh debug $(ARGS)

.PHONY: helm-purge
helm-purge: ## uninstall it; the data stays
	@scripts/helm.sh purge $(ARGS)

.PHONY: helm-test
helm-test: ## check the chart: lint, Kubernetes' schemas, and what must hold of it; needs no cluster
	@scripts/helm.sh test

.PHONY: clean
clean: ## remove what was built (not the data in .twtr/)
	rm -rf bin
