# Tributary. `make` alone lists what there is.

GO      ?= go
BIN     := bin/tributary
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)
export CGO_ENABLED ?= 0

.PHONY: help build run demo test test-clients test-elasticsearch test-soak race lint bench cover fuzz generate clean

help: ## what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 22

build: ## bin/tributary
	@$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN) ./core/cmd/tributary

run: build ## the product on an empty directory of its own
	@dir=$$(mktemp -d) && echo "data in $$dir" && exec $(BIN) run --data $$dir

demo: build ## the retail example: 18,532 real orders in, one profile a customer
	@exec ./configs/examples/retail/demo.sh $(BIN)

test: build ## all tests that must be green before a change lands
	@$(GO) test -shuffle=on -timeout 8m ./...

test-clients: ## unmodified clients of others, and pages in a real browser; needs Node 20 with npm, and Chromium
	@cd test/clients && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@TRIBUTARY_CLIENTS=1 $(GO) test -count=1 -timeout 15m -run '^Test(Page|Clients)' ./test

test-elasticsearch: ## the store and the product on a real Elasticsearch; needs a Java 17 JDK and Maven
	@./test/elasticsearch.sh

race: ## the tests of concurrent code under the race detector
	@CGO_ENABLED=1 $(GO) test -race -short -shuffle=on -timeout 20m ./sdk/... ./core/internal/...

test-soak: build ## what takes longer: crashes by the dozen, a million events, a minute of fuzzing a parser
	@TRIBUTARY_SOAK=1 $(GO) test -count=1 -timeout 90m ./test/... ./core/internal/fold
	@$(MAKE) --no-print-directory fuzz FUZZTIME=60s

FUZZTIME ?= 10s
fuzz: ## every fuzz target, FUZZTIME each
	@./test/fuzz.sh $(FUZZTIME)

lint: ## formatting, vet and the linters of .golangci.yml
	@./test/lint.sh

bench: build ## our own measurements, as ratios to ceilings taken in the same run
	@$(BIN) bench

cover: ## statement coverage, by package
	@mkdir -p cover && $(GO) test -coverpkg=./... -coverprofile=cover/all.out ./... >/dev/null && $(GO) tool cover -func=cover/all.out | tail -n 1

generate: ## files that are made from others
	@$(GO) generate ./...

clean: ## what was built
	@rm -rf bin cover
