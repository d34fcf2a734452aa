#!/usr/bin/env bash
# Run the peer with the options of peers/contract.py; build it first where it is not built.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=${PEERS_BUILD:-$(cd "$here/../.." && pwd)/run/peers/streams}
[ "$out/classpath" -nt "$here/AnomalyStreams.java" ] || "$here/build.sh"
# The parallel collector is the JVM's choice for throughput; the heap is fixed, so that it does not grow during a run, and
# has room for the cache.
exec java -Xms2g -Xmx2g -XX:+UseParallelGC -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -cp "$(<"$out/classpath")" AnomalyStreams "$@"
