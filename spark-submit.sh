#!/usr/bin/env bash
# Runs a job: ./spark-submit.sh JOB [options]. On this machine, or on a cluster with MASTER=spark://... or MASTER=yarn.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
python=${PYTHON:-$here/.venv/bin/python}
[ -x "$python" ] || python=$(command -v python3) || { echo "error: no Python; run 'make setup' or set PYTHON." >&2; exit 2; }
jobs=$(cd "$here/jobs" && ls ./*.py | sed 's|^\./||; s|\.py$||' | tr '\n' ' ')

usage() {
  echo "usage: ./spark-submit.sh [--dry-run] JOB [options]     (JOB --help explains the job's options)"
  echo "jobs:  $jobs"
  echo "MASTER=URL runs the job on that cluster; SPARK_SUBMIT_ARGS adds options of Spark's (--conf k=v ...)."
}

dry_run=false
if [ "${1:-}" = "--dry-run" ]; then dry_run=true; shift; fi
case "${1:-}" in
  -h | --help) usage; exit 0 ;;
  "") usage >&2; exit 2 ;;
esac
job=$1; shift
if [ ! -f "$here/jobs/$job.py" ]; then echo "error: no job '$job'; the jobs are: $jobs" >&2; exit 2; fi

export PYTHONPATH="$here/jobs${PYTHONPATH:+:$PYTHONPATH}" PYSPARK_PYTHON="$python"
case "${MASTER:-local}" in
  local*)
    # The job starts its own local Spark, so that Ctrl-C and SIGTERM reach the job and not a JVM around it.
    if [ "${MASTER:-local}" != local ]; then export SPARK_SUBMIT_ARGS="--master $MASTER ${SPARK_SUBMIT_ARGS:-}"; fi
    command=("$python" "$here/jobs/$job.py" "$@") ;;
  *)
    archive=$(mktemp -d)/fraudstream.zip
    (cd "$here/jobs" && "$python" -m zipfile -c "$archive" fraudstream)
    jars=$("$python" -m fraudstream.stack jars spark)
    spark_home=$("$python" -c 'import os, pyspark; print(os.path.dirname(pyspark.__file__))')
    # shellcheck disable=SC2086  # several options in one variable, as Spark's own scripts take them
    command=("$spark_home/bin/spark-submit" --master "$MASTER" --properties-file "$here/conf/spark-defaults.conf"
      --extra-properties-file "$here/conf/spark-cluster.conf"
      --conf "spark.driver.host=${SPARK_DRIVER_HOST:-$(hostname)}"
      --conf "spark.sql.warehouse.dir=${FRAUDSTREAM_HOME:-$here/run}/spark-warehouse"
      --jars "$jars" --py-files "$archive" ${SPARK_SUBMIT_ARGS:-} "$here/jobs/$job.py" "$@") ;;
esac
if $dry_run; then printf '%q ' "${command[@]}"; echo; exit 0; fi
exec "${command[@]}"
