#!/bin/sh
# The broker in a container of the image apache/kafka.
set -eu
sh /fraudstream/render.sh /fraudstream/kafka/broker.properties > /tmp/broker.properties
/opt/kafka/bin/kafka-storage.sh format --standalone --ignore-formatted -t "$CLUSTER_ID" -c /tmp/broker.properties
exec /opt/kafka/bin/kafka-server-start.sh /tmp/broker.properties
