#!/usr/bin/env bash
# What needs a real Elasticsearch: the node and the proxy of test/servers, the
# store on it where there is one, and the product's tests that name it. It fails
# where a package that is asked ran nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
export TRIBUTARY_ELASTICSEARCH=1

out=$(mktemp)
trap 'rm -f "$out"' EXIT

# run [-run PATTERN] PACKAGES: one after the other, as each has a node of its own.
run() {
  if ! go test -count=1 -p 1 -timeout 20m -v "$@" >"$out" 2>&1; then
    cat "$out"
    exit 1
  fi
  grep -E '^(ok|\?)\s' "$out"
  if ! grep -q '^--- PASS' "$out" || grep -q '^ok.*\[no tests to run\]' "$out"; then
    echo "no test ran: go test $*" >&2
    exit 1
  fi
}

run ./test/servers
if [ -d core/internal/store/elastic ]; then
  run ./core/internal/store/elastic/...
fi
if grep -qE '^func Test\w*Elasticsearch' test/*_test.go; then
  run -run Elasticsearch ./test
fi
