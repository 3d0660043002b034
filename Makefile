# TenantPilot. `make` or `make help` lists the targets; .ci/run calls `make check`.

BIN := $(CURDIR)/.bin
# The last folder is where Go's own archive installs itself: a fresh machine has it, and its PATH often not.
export PATH := $(BIN):$(PATH):/usr/local/go/bin
# One set of flags for every build, or the build cache holds everything twice.
export GOFLAGS := $(strip $(GOFLAGS) -buildvcs=false)

SIZE ?=
SEED ?=
LOAD ?=
BENCH_FLAGS ?=
BENCH_ROWS := 10000,1000000,5000000
FLEET_FLAGS := $(if $(LOAD),-load '$(LOAD)') $(if $(SIZE),-size $(SIZE)) $(if $(SEED),-seed $(SEED))

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help up demo test check generate test-big test-proof bench bench-list bench-console bench-sync bench-fair bench-takeover tools lint grpcurl takeover tools-buf tools-gen tools-lint protodeps \
	generated proto-format proto-lint proto-breaking gofmt vet tidy guards compose built launcher go-ready

help: ## this list
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo
	@echo "  make up and make demo take SIZE=60 (policies of the demo tenant) or LOAD=DIR (a folder of exported policy JSON);"
	@echo "  DATABASE_URL=postgres://… uses that server; TENANTPILOT_PORT_BASE=7000 moves every port; data is kept in .data/."

up: built ## PostgreSQL, every service and a demo tenant; ends on Ctrl-C
	@$(BIN)/local up $(FLEET_FLAGS)

demo: built ## one inventory sync from nothing to a completed run, then ends
	@$(BIN)/local demo $(FLEET_FLAGS)

test: launcher ## every test, on one throwaway PostgreSQL
	@.ci/test $(BIN)/local

test-big: launcher ## the tests that need a million runs
	@TENANTPILOT_BIG=1 $(BIN)/local test-postgres -- go test -count=1 -timeout 15m \
		-run '^(TestListsAreServedByIndexesWithoutASort|TestStatisticsReadWhatTheyNeed|TestRetentionReadsWhatItNeeds|TestRetentionOfMany)$$' \
		./services/operations/internal/store/... ./services/operations/internal/api

test-proof: launcher ## the run store and the takeover under kills, restarts and faults, at length
	@$(BIN)/local test-postgres -- env TENANTPILOT_PROOF=1 go test ./services/operations/proof ./services/operations/takeover/... ./pkg/work -count=1 -timeout 30m
	@$(BIN)/local test-postgres -- env TENANTPILOT_PROOF=1 go test ./e2e -run '^TestKilled' -count=1 -timeout 60m
	@$(BIN)/local test-postgres -- go test ./services/operations/internal/api -run '^TestServiceAgreesWithTheModel' -rapid.checks=2000 -count=1 -timeout 30m

bench: go-ready ## the run store against pgbench, River and itself ungrouped, then all of bench-list
	@go build -o $(BIN)/bench ./services/operations/bench && $(BIN)/bench -rows $(BENCH_ROWS) $(BENCH_FLAGS)

bench-list: go-ready ## lists, filters and summaries at 10 thousand, 1 million and 5 million runs
	@go build -o $(BIN)/bench ./services/operations/bench && $(BIN)/bench -write=false -rows $(BENCH_ROWS) $(BENCH_FLAGS)

bench-console: go-ready ## from the commit of a change to 1,000 watchers over HTTP
	@go build -o $(BIN)/bench-console ./e2e/bench && $(BIN)/bench-console $(BENCH_FLAGS)

bench-sync: launcher ## a sync's time against a bare client's, memory and WAL
	@$(BIN)/local test-postgres -- go run ./services/inventory/cmd/benchsync

bench-fair: launcher ## how long a run waits while another workspace has 2,000 queued
	@$(BIN)/local test-postgres -- env TENANTPILOT_BENCH_FAIR=1 go test ./e2e -run '^TestFairShares$$' -count=1 -v | grep -E '^(---|ok|FAIL)|fair_test'

bench-takeover: go-ready ## the takeover of 5 million legacy rows beside the least PostgreSQL needs for them
	@go build -o $(BIN)/bench-takeover ./services/operations/takeover/bench && $(BIN)/bench-takeover $(BENCH_FLAGS)

check: tools generated proto-format proto-lint proto-breaking gofmt lint vet tidy guards compose test ## everything CI asks of a commit

generate: tools-buf tools-gen protodeps ## gen/ from proto/, pages from their templates, lists of services from their table
	@rm -rf gen/go gen/openapi
	@buf generate
	@cd services/gateway && templ generate -path . -log-level error
	@go test ./services/gateway/internal/jsonapi -run '^TestOpenAPI$$' -count=1 -update >/dev/null
	@go test ./deploy/local/roster -run '^TestFilesFollowTheTable$$' -count=1 -update >/dev/null

lint: go-ready tools-lint ## who imports whom, and golangci-lint over the workspace
	@echo "lint: who imports whom"
	@go run ./deploy/local/cmd/rooms
	@echo "lint: golangci-lint"
	@golangci-lint run $$(go list -m -f '{{.Dir}}/...')

tools: tools-buf tools-gen tools-lint ## buf, its plugins and golangci-lint into .bin
	@echo "tools: installed in .bin"

grpcurl: go-ready ## a gRPC client into .bin, for the calls that `make up` prints
	@GOWORK=off GOBIN=$(BIN) go -C tools/lint install github.com/fullstorydev/grpcurl/cmd/grpcurl

takeover: go-ready ## the tool that takes over an older TenantPilot, into .bin
	@go build -o $(BIN)/takeover ./services/operations/takeover/cmd/takeover

tools-buf: go-ready
	@GOWORK=off GOBIN=$(BIN) go -C tools/buf install tool

tools-gen: go-ready
	@GOWORK=off GOBIN=$(BIN) go -C tools/gen install tool

tools-lint: go-ready
	@GOWORK=off GOBIN=$(BIN) go -C tools/lint install tool

# The .proto files we import are printed out of the Go modules that carry them, so the two cannot drift.
protodeps: go-ready
	@GOWORK=off GOBIN=$(BIN) go -C tools/protodeps install ./cmd/print && print .protodeps

generated: ## gen/ is what its sources make
	@echo "generated: generate and compare"
	@.ci/generated before && $(MAKE) --no-print-directory generate && .ci/generated after

proto-format:
	@echo "proto: format"
	@buf format --diff --exit-code proto

proto-lint:
	@echo "proto: lint"
	@buf lint proto

proto-breaking:
	@.ci/breaking

gofmt:
	@echo "gofmt"
	@files=$$(gofmt -l deploy e2e pkg services tools gen); test -z "$$files" || { echo "not formatted:" $$files; exit 1; }

vet: go-ready
	@echo "go vet"
	@go vet work

# Not tools/buf: some modules that only buf's own tests need cannot be fetched.
tidy: go-ready
	@echo "go mod tidy -diff, module by module"
	@for mod in $$(find . -name go.mod -not -path './.*' -not -path ./tools/buf/go.mod); do (cd $$(dirname $$mod) && GOWORK=off go mod tidy -diff) || { echo "$$mod is not tidy"; exit 1; }; done

guards:
	@.ci/guards

compose: go-ready
	@echo "compose: docker-compose.yml against its schema and the services' settings"
	@GOWORK=off go -C deploy/test test -count=1 ./...

# Compiling everything takes minutes on a fresh machine: the command shows how far it is.
built: go-ready
	@echo "build: started"
	@go run -v ./deploy/local/cmd/build

launcher: go-ready
	@go run -v ./deploy/local/cmd/build launcher

# Run here, `go env` prints the version that go.work asks for if Go can fetch it, else nothing.
go-ready:
	@command -v go >/dev/null || { echo "Go is missing: install Go 1.26 or newer (https://go.dev/dl/) and put it on PATH."; exit 1; }
	@case "$$(go env GOVERSION 2>/dev/null)" in \
	go1.[0-9]|go1.[0-9].*|go1.1[0-9]*|go1.2[0-5]*|"") \
		echo "Go 1.26 or newer is needed, this is $$(cd / && go env GOVERSION) ($$(command -v go)): see https://go.dev/dl/"; exit 1;; \
	esac
