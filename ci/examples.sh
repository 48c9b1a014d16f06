#!/usr/bin/env bash
# Drives the examples: the servers with real clients, such as nc, curl, wrk with 1,000 connections, and Ctrl-C; the
# others by comparing what they print, with what it must be and with what their Go originals print.
#
#   ci/examples.sh            builds them in release mode and runs every check of ci/examples
#   ci/examples.sh NAME...    only ci/examples/NAME.sh
#
# Servers get port 0 and print the port they were given, so that nothing collides. What a check
# received is kept in the log directory and shown when it fails. The clients are installed by the step `tools` of
# .ci/run; without Go the comparison with its originals is skipped.
set -euo pipefail
cd "$(dirname "$0")/.."

target=${CARGO_TARGET_DIR:-target}
logs=${CI_LOGS:-$target/ci-logs}/examples
rm -rf "$logs"
mkdir -p "$logs"

all=()
for file in ci/examples/*.sh; do
    name=$(basename "$file" .sh)
    [ "$name" = lib ] || all+=("$name")
done

# shellcheck source=ci/examples/lib.sh
. ci/examples/lib.sh

names=("$@")
[ $# -gt 0 ] || names=("${all[@]}")
for name in "${names[@]}"; do
    [[ " ${all[*]} " == *" $name "* ]] || fail "no such checks: $name (${all[*]})"
done

cargo build --release --examples -p corio-examples
note=
# Not `name`, which the checks use.
for checks in "${names[@]}"; do
    # shellcheck source=/dev/null
    . "ci/examples/$checks.sh"
done
echo "examples: all $step checks passed$note"
