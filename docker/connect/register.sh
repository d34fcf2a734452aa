#!/bin/sh
# Registers the connectors named as arguments (docker/connect/NAME.json) and waits until their tasks run. Repeatable.
set -eu
for name in "$@"; do
    # The body of the PUT is the member "config" of the file.
    sh /fraudstream/render.sh "/fraudstream/connect/$name.json" |
        sed -n '/^  "config": {$/,/^  }$/p' | sed '1s/.*/{/' > /tmp/config.json
    curl --fail-with-body --silent --show-error --retry 30 --retry-delay 1 --retry-all-errors \
        --request PUT --header 'Content-Type: application/json' --data @/tmp/config.json \
        "$CONNECT_URL/connectors/$name/config"
    until curl --silent "$CONNECT_URL/connectors/$name/status" | grep -q '"tasks":\[{[^]]*"state":"RUNNING"'; do
        sleep 1
    done
    echo
done
