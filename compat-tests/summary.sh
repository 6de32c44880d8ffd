#!/usr/bin/env bash
# Adds up the results in the output of `cargo test`: the lines of Rust's own harness, and those of
# the compat suites, which tell what was skipped. Fails if anything failed, or nothing ran.
set -euo pipefail

awk '
    /^test result:/ { passed += $4; failed += $6; skipped += $8 }
    /^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$/ { passed += $1; failed += $3; skipped += $5 }
    / \.\.\. skipped: / { print }
    END {
        printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped
        exit failed > 0 || passed == 0
    }
' "$1"
