#!/bin/sh
# Prints the file $1 with every ${NAME}, in capitals, replaced by the environment's NAME; comment lines stay.
# The embedded stack does the same in jobs/fraudstream/stack/template.py. A name without a value is an error.
set -eu
script=
for name in $(grep -v '^#' "$1" | grep -o '\${[A-Z][A-Z0-9_]*}' | tr -d '${}' | sort -u); do
    value=$(printenv "$name") || { echo "$1: nothing is known to put in for $name" >&2; exit 1; }
    script="$script/^#/!s|\${$name}|$value|g;"
done
sed "$script" "$1"
