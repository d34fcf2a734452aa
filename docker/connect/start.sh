#!/bin/sh
# Connect in a container of the image apache/kafka. Passwords go from the environment into files that it alone reads.
set -eu
umask 077
mkdir -p "$SECRETS_DIR"
echo "password=$FRAUDSTREAM_CAPTURE_PASSWORD" > "$SECRETS_DIR/capture.properties"
echo "password=$FRAUDSTREAM_POSTGRES_PASSWORD" > "$SECRETS_DIR/postgres.properties"
sh /fraudstream/render.sh /fraudstream/connect/worker.properties > /tmp/worker.properties
exec /opt/kafka/bin/connect-distributed.sh /tmp/worker.properties
