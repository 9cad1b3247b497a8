#!/usr/bin/env bash
# The retail example from nothing: starts Tributary on a temporary directory,
# applies the example, imports 18,532 real orders, shows what came of them, and
# stays up; with TRIBUTARY_DEMO_ONCE set it ends there.
# Usage: demo.sh PATH/TO/tributary
set -euo pipefail
once=${TRIBUTARY_DEMO_ONCE:-}
unset TRIBUTARY_DEMO_ONCE # the product refuses TRIBUTARY_* variables that are no settings
example=$(cd "$(dirname "$0")" && pwd)
bin=$(cd "$(dirname "${1:-bin/tributary}")" && pwd)/$(basename "${1:-tributary}")
dir=$(mktemp -d)
export TRIBUTARY_DATA=$dir

cleanup() {
  trap - EXIT
  kill "$server" 2>/dev/null && wait "$server" || true
  rm -rf "$dir"
}
say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
show() { printf '\n$ tributary'; printf ' %q' "$@"; printf '\n'; "$bin" "$@"; }

"$bin" run --http 127.0.0.1:0 >"$dir/run.out" 2>"$dir/run.log" &
server=$!
trap cleanup EXIT
trap 'exit 0' INT TERM
for _ in $(seq 100); do
  grep -q 'is ready' "$dir/run.out" && break
  kill -0 "$server" 2>/dev/null || { cat "$dir/run.log" >&2; exit 1; }
  sleep 0.05
done
cat "$dir/run.out"

say "The example: a source, an event type, an import mapping, a flow"
show apply -f "$example"
say "Its orders: December 2010 to December 2011, 4,338 customers"
show import "$example/online-retail-invoices.csv" --mapping orders
say "What came of them"
show profiles count 'true'
show profiles count 'profile.counters.orders >= 10'
show profiles count 'profile.counters.revenue > 10000'
say "Whom the flow has marked: customers with orders over 1,000, of which there are 1,321"
show profiles count 'profile.traits.big_orders > 0'
say "One of the customers"
show profiles get user:17850
echo "(The revenue is exact: the file has amounts such as 22.200000000000003, and nothing rounds them.)"

say "It stays up until Ctrl-C. In another terminal:"
cat <<EOF
  $bin --data $dir profiles query 'count("order-completed") >= 100' --sort -counters.revenue
  $bin --data $dir send order-completed --user 17850 --prop total=9.90 --wait processed
  $bin --data $dir tail
EOF
[ -n "$once" ] || wait "$server"
