"""Fetch the jars of a lock file into the project's cache and print their paths, joined by colons. It runs with the
project's own packages: PYTHONPATH=jobs .venv/bin/python peers/jars.py peers/streams/jars.lock

A line of a lock file is a Maven coordinate (group:name:version) and the file's SHA-256. With --lock the sums of the
given coordinates are written anew."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from fraudstream.stack.artifacts import Artifact, cache_folder, fetch, sha256


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("lock", type=Path)
    parser.add_argument("--lock", dest="write", action="store_true", help="write the checksums into the file")
    options = parser.parse_args()
    lines = options.lock.read_text(encoding="utf-8").splitlines()
    if options.write:
        options.lock.write_text("".join(f"{_locked(line)}\n" for line in lines), encoding="utf-8")
        return
    entries = [line.split() for line in lines if line.strip() and not line.startswith("#")]
    print(os.pathsep.join(str(_cached(Artifact("peers", coordinate, checksum))) for coordinate, checksum in entries))


def _locked(line: str) -> str:
    if not line.strip() or line.startswith("#"):
        return line
    coordinate = line.split()[0]
    with tempfile.TemporaryDirectory() as scratch:
        return f"{coordinate} {sha256(fetch(Artifact('peers', coordinate, ''), Path(scratch)))}"


def _cached(artifact: Artifact) -> Path:
    path = cache_folder() / "jars" / artifact.filename
    if path.exists() and sha256(path) == artifact.sha256:
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        found = fetch(artifact, Path(scratch))
        if sha256(found) != artifact.sha256:
            sys.exit(f"{artifact.coordinate}: what was fetched has another checksum than the lock file says")
        found.replace(path)
    return path


if __name__ == "__main__":
    main()
