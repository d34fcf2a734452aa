#!/bin/sh
# Fetches Debezium's plugin once into $PLUGIN_DIR, in a container of the image maven, and checks it by conf/jars.lock.
set -eu
name=debezium-connector-postgres
archive=$name-$DEBEZIUM_VERSION-plugin.tar.gz
[ -d "$PLUGIN_DIR/$name" ] && [ "$(cat "$PLUGIN_DIR/version")" = "$DEBEZIUM_VERSION" ] && exit 0
mvn --batch-mode --quiet org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy \
    -Dartifact="io.debezium:$name:$DEBEZIUM_VERSION:tar.gz:plugin" -DoutputDirectory=/tmp/plugin
checksum=$(grep "^debezium .*:$DEBEZIUM_VERSION " "$LOCK_FILE" | cut -d ' ' -f 3)
echo "$checksum  /tmp/plugin/$archive" | sha256sum -c -
rm -rf "${PLUGIN_DIR:?}/$name"
tar -xzf "/tmp/plugin/$archive" -C "$PLUGIN_DIR"
echo "$DEBEZIUM_VERSION" > "$PLUGIN_DIR/version"
