#!/usr/bin/env bash
# Compile AnomalyStreams.java with the jars of jars.lock into run/peers/streams. Needs the project's .venv and a JDK.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
out=${PEERS_BUILD:-$root/run/peers/streams}
jars=$(PYTHONPATH=$root/jobs "$root/.venv/bin/python" "$here/../jars.py" "$here/jars.lock")
mkdir -p "$out"
javac -Xlint:all,-processing -encoding UTF-8 --release 17 -cp "$jars" -d "$out" "$here/AnomalyStreams.java"
echo "$out:$jars" >"$out/classpath"
