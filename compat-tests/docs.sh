#!/usr/bin/env bash
# Writes the rows that the suites `matrix` and `peers` have left in a folder into a file, between
# the lines "<!-- begin <suite> -->" and "<!-- end <suite> -->".
set -euo pipefail
results=$1
file=$2

for suite in matrix peers; do
    [ -d "$results/$suite" ] || { echo "no results of $suite: make compat PART=$suite"; continue; }
    awk -v suite="$suite" -v table="$(sort -V "$results/$suite"/*)" '
        $0 == "<!-- end " suite " -->" { inside = 0 }
        !inside { print }
        $0 == "<!-- begin " suite " -->" {
            inside = 1
            print "| whose | version | from | passed/failed/skipped here | on Apache 3.9.5 | passes with neither |"
            print "| --- | --- | --- | --- | --- | --- |"
            print table
        }
    ' "$file" >"$file.new"
    mv "$file.new" "$file"
done
