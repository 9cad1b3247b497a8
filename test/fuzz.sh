#!/usr/bin/env bash
# Runs every fuzz target of the repository, one after another, for the time given.
#
# Before Go 1.27 the end of -fuzztime can itself be told as a failure, "context
# deadline exceeded", with no failing input (go.dev/issue/75804). That alone is not
# taken for a finding: the target then has to pass all its inputs once more.
set -euo pipefail
cd "$(dirname "$0")/.."
time=${1:-10s}
out=$(mktemp)
trap 'rm -f "$out"' EXIT

ended_by_its_own_clock() {
  ! grep -q 'Failing input written\|panic:\|fuzzing process' "$out" &&
    [ "$(grep -A1 -- '--- FAIL: ' "$out" | sed -n '2s/^ *//p')" = 'context deadline exceeded' ]
}

grep -rlE '^func Fuzz' --include='*_test.go' . | xargs -n1 dirname | sort -u | while read -r dir; do
  grep -hoE '^func Fuzz[A-Za-z0-9_]+' "$dir"/*_test.go | sed 's/func //' | while read -r target; do
    echo "fuzz $dir $target"
    if go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" -fuzzminimizetime 20x "$dir" </dev/null 2>&1 | tee "$out"; then
      continue
    fi
    ended_by_its_own_clock || exit 1
    echo "fuzz $dir $target: no failing input, once more over all it has"
    go test -count=1 -run "^$target\$" "$dir" </dev/null
  done
done
