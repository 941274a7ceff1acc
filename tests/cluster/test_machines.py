"""A cluster on Ray: three nodes, three shards, two replicas of each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bovw import Vocabulary

pytest.importorskip("ray", reason="a cluster needs Ray: pip install 'bovw[cluster]'")


@pytest.mark.slow
def test_what_a_cluster_lives_through(tmp_path: Path, vocabulary: Vocabulary) -> None:
    vocabulary.save(tmp_path / "vocabulary")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "tests.cluster.ray_cluster",
            str(tmp_path),
            str(tmp_path / "vocabulary"),
        ],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "RAY_TMPDIR": "/tmp"},  # sockets have short names
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    seen = json.loads(done.stdout.splitlines()[-1])
    assert seen["added"] == 20 and set(seen["failed"]) == {"hangs.jpg", "crashes.jpg"}
    assert "took too long" in seen["failed"]["hangs.jpg"]
    assert "SIGSEGV" in seen["failed"]["crashes.jpg"]
    assert seen["answers compared"] > 4 * 13
    assert seen["equal"] == seen["equal without a replica"] == seen["equal without a node"] == 10
    assert set(seen["equal while it changes"]) == {10} and seen["errors"] == []
    assert (seen["images after the change"], seen["found after the change"]) == (
        21,
        "photos/new.png",
    )
    assert "cannot connect" in seen["wrong token"]
    assert seen["missing shard"] == 1 and seen["seconds until it is said"] < 20
