# Every target works from a clone with Go, git and make; `make help` lists them.
SHELL := /bin/bash
MODULES := schemas events services tools
GOLANGCI := v2.12.2
export GOFLAGS := -buildvcs=false

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

.PHONY: build
build: ## build the program into bin/
	go build -o bin/backupbus ./tools/backupbus

.PHONY: services
services: ## build the four services into bin/, for running them apart
	@for s in requester provider-executors status-tracker notifier; do go build -o bin/$$s ./services/$$s/cmd/$$s || exit 1; done

.PHONY: install
install: ## install the program with go install
	go install ./tools/backupbus

.PHONY: run
run: build ## run everything in one process, data in ./backupbus-data
	bin/backupbus up

.PHONY: demo
demo: build ## take, list, check and restore a real backup, all on this machine
	go build -o bin/demo ./tools/demo
	bin/demo --backupbus bin/backupbus

.PHONY: test
test: servers ## all tests; real servers where they are installed
	go test work

# What measures memory, which the race detector needs most of, and ten thousand tables, on which it takes minutes.
MEASURED := ^TestBackup_(LargeRowsPass|OfLargeValuesNeeds|LargeValuesAre|ToS3Needs|.*TenThousandTables)

.PHONY: race
race: servers ## all tests, with the race detector on everything that runs in the test's own process
	go test -race -timeout 30m -skip '$(MEASURED)' $$(go list work | grep -v /tools/e2e)
	go test -run '$(MEASURED)' ./services/provider-executors/remote ./services/provider-executors/sqlite ./services/provider-executors/mysql ./services/provider-executors/postgres
	go test ./tools/e2e

.PHONY: test-large
test-large: servers ## backups of tables of a gigabyte, proven by restore (about 3 min)
	go test -p 1 -tags large -run Gigabyte -timeout 20m ./services/provider-executors/sqlite ./services/provider-executors/mysql ./services/provider-executors/postgres

# What the tests look for, and the Debian package that has it.
SERVERS := npm:npm redis-server:redis-server mariadbd:mariadb-server mariadb-backup:mariadb-backup zstd:zstd age:age

.PHONY: servers
servers:
	@missing=0; for s in $(SERVERS); do command -v $${s%%:*} >/dev/null || { missing=1; \
	  echo "not found: $${s%%:*}; the tests that need it are skipped (apt-get install $${s##*:})"; }; done; \
	ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null || { missing=1; \
	  echo "not found: PostgreSQL's initdb; the tests that need it are skipped (apt-get install postgresql)"; }; \
	test -n "$$BACKUPBUS_TEST_MYSQL" || echo "not set: BACKUPBUS_TEST_MYSQL; the tests of MySQL are skipped (.ci/mysql FOLDER fetches it)"; \
	test $$missing = 0 || test -z "$$BACKUPBUS_REQUIRE_SERVERS"

.PHONY: bench
bench: ## benchmarks of the parts on the hot path
	go test -run '^$$' -bench . ./events ./events/lifecycle ./events/bus ./services/status-tracker/...
	go test -run '^$$' -bench List -benchtime 500x -timeout 20m ./services/requester/door/cloudsql
	go test -run '^$$' -bench Insert -benchtime 1x ./services/requester/door/cloudsql
	go test -run '^$$' -bench Streams -benchtime 20x ./services/requester/door/native # 1,000 event streams
	go test -run '^$$' -bench List -benchtime 300x -timeout 20m ./services/requester/door/gaussdb # a page at the end of a million
	go test -run '^$$' -bench . -benchtime 1x -timeout 20m ./services/notifier # x-bare: of bare signed POSTs, to be at least 0.5
	go test -run '^$$' -bench Fleet -benchtime 1x -timeout 60m ./services/requester/schedule # 100,000 windows in one minute

FUZZTIME ?= 60s
FUZZCOUNT ?= 10000x
FUZZCOUNT_LONG ?= 50000x
# Go may end a run that is bound by time with nothing but "context deadline exceeded". Then it is run again; an input that
# fails was kept in testdata by the first run, and fails the second.
fuzzed = go test -run '^$$' -fuzz $(1) -fuzztime $(2) -fuzzminimizetime 20x $(3)
timed = $(call fuzzed,$(1),$(FUZZTIME),$(2)) || $(call fuzzed,$(1),$(FUZZTIME),$(2))

.PHONY: fuzz
fuzz: ## feed what reads requests with what no client would send: FUZZTIME (60s), FUZZCOUNT or FUZZCOUNT_LONG inputs each
	$(call timed,FuzzBody,./services/requester/door/cloudsql)
	$(call timed,FuzzFields,./services/requester/door/cloudsql)
	$(call fuzzed,FuzzRequest,$(FUZZCOUNT),./services/requester/door/gaussdb)
	$(call fuzzed,FuzzOpenRequest,$(FUZZCOUNT),./services/requester/door/gaussdb)
	$(call fuzzed,FuzzFilter,$(FUZZCOUNT),./services/requester/door/spanner)
	$(call fuzzed,FuzzRequest,$(FUZZCOUNT),./services/requester/door/spanner)
	$(call fuzzed,FuzzParse,$(FUZZCOUNT_LONG),./services/requester/door/filter)
	$(call fuzzed,FuzzCommand,$(FUZZCOUNT_LONG),./events)
	$(call fuzzed,FuzzParseSQL,$(FUZZCOUNT_LONG),./events/filter)

.PHONY: bench-data
bench-data: servers ## whole backups of a gigabyte against the bare tools; exits 1 if a target is missed (about 10 min)
	go build -o bin/benchdata ./tools/benchdata
	bin/benchdata

.PHONY: golden
golden: ## rewrite the golden files and the examples in schemas/; review the diff
	go test ./events ./events/lifecycle ./services/requester/door/native -run 'Schemas|Diagram|OpenAPI' -update

.PHONY: tidy
tidy: ## tidy every module, without the workspace
	@for m in $(MODULES); do (cd $$m && GOWORK=off go mod tidy) || exit 1; done
	go work sync

.PHONY: check
check: ## generated files, go.mod and formatting are what they should be; every module builds alone
	@test -z "$$(gofmt -l $(MODULES))" || { gofmt -l $(MODULES); echo "not gofmt-ed"; exit 1; }
	@for m in $(MODULES); do (cd $$m && GOWORK=off go mod tidy -diff && GOWORK=off go build ./...) || exit 1; done

# A cache of this clone's own: in a shared one the linter finds what it said of another clone, and that clone's paths.
.PHONY: lint
lint: export GOLANGCI_LINT_CACHE := $(CURDIR)/bin/lint-cache
lint: bin/golangci-lint-$(GOLANGCI) ## run the linter
	@for m in $(MODULES); do echo "lint $$m"; (cd $$m && ../$< run --config ../.golangci.yml ./...) || exit 1; done

bin/golangci-lint-$(GOLANGCI):
	GOBIN=$(CURDIR)/bin go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI)
	mv bin/golangci-lint $@
