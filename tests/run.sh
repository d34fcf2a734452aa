#!/usr/bin/env bash
# Runs parts of the tests (lint unit spark stack secure), each with its time; stops at the first part that fails.
set -uo pipefail
cd "$(dirname "$0")/.."
export PYTHONPATH=jobs

part() {
  case $1 in
    lint) .venv/bin/ruff check . && .venv/bin/ruff format --check --quiet . && .venv/bin/mypy ;;
    unit) .venv/bin/python -m pytest -q -n 2 --dist loadscope tests/unit ;;
    # Two processes, each with a session of its own: most of the time of either is waiting. The files come in the order
    # of tests/conftest.py, not, as xdist would have it, by their number of tests.
    spark) .venv/bin/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder tests/spark ;;
    # Two stacks, but for the tests that measure.
    stack) .venv/bin/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder -m "not alone" tests/stack \
      && .venv/bin/python -m pytest -q -m alone tests/stack ;;
    secure) .venv/bin/python -m pytest -q tests/secure \
      tests/stack/test_{one_topic,pipeline,guards,audit_repair,live_change,roles,connector_secrets}.py ;;
    *) echo "error: no part '$1'; there are lint, unit, spark, stack and secure" >&2; return 2 ;;
  esac
}

times=()
for name in "$@"; do
  echo "== $name"
  started=$SECONDS
  part "$name" || { code=$?; echo "== $name failed after $((SECONDS - started)) s"; exit "$code"; }
  times+=("$name $((SECONDS - started)) s")
done
printf '== time:'; printf '  %s' "${times[@]}"; echo
