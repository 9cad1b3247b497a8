#!/usr/bin/env bash
# Formatting, vet and golangci-lint, at the version pinned here and built from
# its module where it is not there yet.
set -euo pipefail
cd "$(dirname "$0")/.."

unformatted=$(gofmt -l $(git ls-files '*.go'))
if [ -n "$unformatted" ]; then
  echo "not formatted (run gofmt -w): $unformatted" >&2
  exit 1
fi
go vet ./...

version=v2.15.0
tools=${TRIBUTARY_TOOLS:-$(go env GOCACHE)/tributary-tools}
lint=$tools/golangci-lint-$version
if [ ! -x "$lint" ]; then
  echo "building golangci-lint $version"
  mkdir -p "$tools"
  GOBIN=$tools/new GOFLAGS= CGO_ENABLED=0 go install "github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$version"
  mv "$tools/new/golangci-lint" "$lint"
fi
"$lint" run ./...
