#!/usr/bin/env bash
# AddressSanitizer over the unit and integration tests. By hand, not in the gate: the flag is an unstable
# one, which the stable compiler takes only under RUSTC_BOOTSTRAP.
#
# Left out are the tests that are about faults, stack overflows and exhausted address space, which the
# sanitizer handles in its own way, and those about memory and speed. Leaks are not looked for: the
# scheduler's Ms, Ps and slots live for ever by design.
set -euo pipefail
cd "$(dirname "$0")/.."

target=$(rustc -vV | sed -n 's/^host: //p')
export RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=address"
export ASAN_OPTIONS="detect_leaks=0:allow_user_segv_handler=1:use_sigaltstack=0:${ASAN_OPTIONS:-}"
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}/asan

cargo test --target "$target" --features corio/sanitizer -p corio --lib --test go_macro -- \
    --skip stack::fault --skip forced_mprotect --skip tight_address_space
cargo test --target "$target" --features corio/sanitizer -p corio-net --lib --tests
cargo test --target "$target" --features corio/sanitizer -p corio-tests --tests -- \
    --skip overflow --skip fault --skip limit --skip memory --skip guard "$@"
