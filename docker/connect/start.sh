#!/bin/sh
# Connect in a container of the image apache/kafka. The password goes from the environment into a file that it alone reads.
set -eu
umask 077
mkdir -p "$SECRETS_DIR"
echo "password=$FRAUDSTREAM_CAPTURE_PASSWORD" > "$SECRETS_DIR/capture.properties"
sh /fraudstream/render.sh /fraudstream/connect/worker.properties > /tmp/worker.properties
exec /opt/kafka/bin/connect-distributed.sh /tmp/worker.properties
