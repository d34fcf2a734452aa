"""Facts that are gathered without a stack."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

from fraudstream.config import load_pipeline
from fraudstream.health import facts
from fraudstream.stack.settings import load_settings


@pytest.mark.parametrize("part", ["lake", "checkpoints", "progress"])
def test_a_disk_is_looked_at_once_whichever_folder_is_on_it(tmp_path, part):
    home, other = tmp_path / "run", "/dev/fraudstream"  # a file system of its own
    folders = {name: str(home / name) for name in ("lake", "checkpoints", "progress")}
    found = facts.disks(load_settings(home), replace(load_pipeline(), **folders | {part: other}))
    assert list(found) == [str(home), other]
    assert found[other] == shutil.disk_usage("/dev").free
