#!/bin/sh
# Registers the connectors named as arguments (docker/connect/NAME.json) and waits until their tasks run; ends with the status,
# and so the trace, of one that failed. Repeatable.
set -eu
for name in "$@"; do
    # The body of the PUT is the member "config" of the file.
    sh /fraudstream/render.sh "/fraudstream/connect/$name.json" |
        sed -n '/^  "config": {$/,/^  }$/p' | sed '1s/.*/{/' > /tmp/config.json
    curl --fail-with-body --silent --show-error --retry 30 --retry-delay 1 --retry-all-errors \
        --request PUT --header 'Content-Type: application/json' --data @/tmp/config.json \
        "$CONNECT_URL/connectors/$name/config"
    until status=$(curl --silent "$CONNECT_URL/connectors/$name/status") &&
        echo "$status" | grep -q '"tasks":\[{[^]]*"state":"RUNNING"'; do
        if echo "$status" | grep -q '"state":"FAILED"'; then
            echo "error: connector $name failed: $status" >&2
            exit 1
        fi
        sleep 1
    done
    echo
done
