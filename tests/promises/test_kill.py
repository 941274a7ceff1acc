"""Real `bovw index` processes are killed at 5 random moments: not one committed image is lost, and
none is there twice.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import cv2
import pytest

from bovw import ImageIndex, SearchOptions, Vocabulary, check_index
from bovw.errors import IndexMissingError
from tests.helpers.pictures import textured

PICTURES = 40
CHANGED = range(0, PICTURES, 4)
# Seconds that the workers of a killed process may take to notice. They look every second; the
# machine may be busy.
PATIENCE = 20


def png(seed: int) -> bytes:
    """A picture as the bytes of a file."""
    return cv2.imencode(".png", textured(seed, 160, 120))[1].tobytes()


class Place:
    """A folder with pictures, of which some change with time, and with a vocabulary.

    Attributes:
        answers: what an index says that was made by a run which nobody killed, after all changes.
        startup: seconds from the start of that run to its first commit.
        work: seconds from there to its end.
    """

    def __init__(self, folder: Path, vocabulary: Vocabulary, jobs: int) -> None:
        self.folder, self.jobs = folder, jobs
        self.versions: dict[tuple[int, bool], bytes] = {}
        for number in range(PICTURES):
            self.versions[number, False] = png(number)
        for number in CHANGED:
            self.versions[number, True] = png(100 + number)
        (folder / "photos").mkdir()
        for number in range(PICTURES):
            self.put(number, changed=number in CHANGED)
        vocabulary.save(folder / "vocabulary")
        started = time.monotonic()
        process = self.start("whole.bovw")
        self.wait_for_commit(process, "whole.bovw")
        self.startup = time.monotonic() - started
        assert process.wait() == 0
        self.work = time.monotonic() - started - self.startup
        self.answers = self.ask("whole.bovw")

    def put(self, number: int, changed: bool) -> None:
        """Put a version of a picture in its place, in one stroke."""
        (self.folder / "new").write_bytes(self.versions[number, changed])
        (self.folder / "new").rename(self.folder / "photos" / f"{number:02d}.png")

    def start(self, index: str) -> subprocess.Popen[bytes]:
        """Begin a run, in a session of its own."""
        options = (
            "--vocab",
            "vocabulary",
            "--batch",
            "3",
            "--jobs",
            str(self.jobs),
            "--max-features",
            "60",
        )
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "PYTHONWARNINGS": "error",
        }
        command = [sys.executable, "-m", "bovw", "index", "photos", "--index", index, *options]
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=environment,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )

    def manifests(self, index: str) -> list[str]:
        return sorted(path.name for path in (self.folder / index).glob("manifest-*"))

    def wait_for_commit(self, process: subprocess.Popen[bytes], index: str) -> None:
        """Wait until a run has committed something, or has ended."""
        before = self.manifests(index)
        while process.poll() is None and self.manifests(index) == before:
            time.sleep(0.005)

    def images(self, index: str) -> dict[str, str]:
        """The images of an index, each there once, as path -> SHA-256."""
        try:
            with ImageIndex.open(self.folder / index) as opened:
                found = [(record.path, record.sha256) for record in opened.records()]
        except IndexMissingError:
            return {}
        assert len(dict(found)) == len(found)
        assert check_index(self.folder / index).damages == []
        return dict(found)

    def on_disk(self) -> dict[str, str]:
        """The pictures that there are, as path -> SHA-256."""
        files = (self.folder / "photos").iterdir()
        return {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}

    def ask(self, index: str) -> list[tuple[str, float, bytes]]:
        """What an index says to some queries, to the last bit."""
        found = []
        with ImageIndex.open(self.folder / index) as opened:
            for seed in (0, 100, 1, 38, 136):
                matches = opened.search(
                    textured(seed, 160, 120)[10:110, 20:150], SearchOptions(crop=True)
                ).matches
                found += [
                    (
                        match.path,
                        match.score,
                        b"" if match.outline is None else match.outline.tobytes(),
                    )
                    for match in matches
                ]
        return found


def processes_of(session: int) -> list[int]:
    """The living processes of a session."""
    found = []
    for folder in Path("/proc").iterdir():
        with suppress(OSError):
            if folder.name.isdigit():
                state, _parent, _group, owner = (
                    (folder / "stat").read_text().rpartition(")")[2].split()[:4]
                )
                if int(owner) == session and state not in "ZX":
                    found.append(int(folder.name))
    return found


def require_end(session: int) -> None:
    """Fail unless all processes of a session, whose first one was killed, end soon. None of them
    stays.
    """
    deadline = time.monotonic() + PATIENCE
    while (left := processes_of(session)) and time.monotonic() < deadline:
        time.sleep(0.05)
    for process in left:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGTERM)
    assert not left, f"{len(left)} processes outlived by {PATIENCE} s the one that had started them"


@pytest.mark.slow
@pytest.mark.parametrize(("jobs", "kills"), [(0, 4), (2, 1)])
def test_runs_that_are_killed_lose_no_committed_image_and_end_like_one_that_is_not(
    tmp_path: Path, vocabulary: Vocabulary, jobs: int, kills: int
) -> None:
    place, chance = Place(tmp_path, vocabulary, jobs), random.Random(jobs)
    killed = 0
    while killed < kills:
        shutil.rmtree(tmp_path / "i.bovw", ignore_errors=True)
        to_change = list(CHANGED)
        for number in to_change:
            place.put(number, changed=False)
        while True:
            before = place.images("i.bovw")
            process = place.start("i.bovw")
            if chance.random() < 0.15:  # some do not get as far as to commit anything
                moment = chance.uniform(0, place.startup)
            else:
                place.wait_for_commit(process, "i.bovw")
                moment = chance.uniform(0, place.work / 2)
            with suppress(subprocess.TimeoutExpired):
                process.wait(moment)
            present = len(processes_of(process.pid))
            process.kill()
            finished = process.wait() == 0
            assert finished or process.returncode == -signal.SIGKILL
            # of several processes, the first shall leave some behind
            killed += not finished and present > min(jobs, 1)
            require_end(process.pid)
            after, there = place.images("i.bovw"), place.on_disk()
            assert before.keys() <= after.keys()
            assert all(sha256 in (before.get(path), there[path]) for path, sha256 in after.items())
            if finished and not to_change:
                break
            for number in to_change[:3]:
                place.put(number, changed=True)
            del to_change[:3]
        assert place.images("i.bovw") == place.on_disk() == place.images("whole.bovw")
        assert place.ask("i.bovw") == place.answers
        assert check_index(tmp_path / "i.bovw").leftovers == []
