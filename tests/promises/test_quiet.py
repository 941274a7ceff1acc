"""What SECURITY.md promises of the library and the command: nothing connects, no other program is
started, nothing is unpickled, and nothing is written but the index and what options name.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bovw import Vocabulary

# Python tells of whatever it does (sys.addaudithook); what was imported before does not count.
PROGRAM = """
import os, sys, tempfile
import bovw.cli.app, bovw.image_index, bovw.index.check, bovw.similarity.similar, cv2, numpy, jinja2
import bovw.report.html, bovw.search.drawing

FORBIDDEN = ("socket.connect", "socket.bind", "socket.getaddrinfo", "subprocess.Popen", "os.system",
             "os.exec", "os.posix_spawn", "os.fork", "pickle.find_class")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
told = sys.stderr

def hook(event, arguments):
    if event in FORBIDDEN:
        print("AUDIT", event, arguments, file=told)
    elif event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITING:
        print("WRITTEN", os.path.relpath(arguments[0]), file=told)

sys.addaudithook(hook)
for arguments in (
    ["index", "photos", "--jobs", "0", "--vocab", "words"],
    ["search", "photos/0.png", "--crop", "--draw", "match.png", "--report", "found.html"],
    ["similar", "photos/0.png"],
    ["list"],
    ["check"],
    ["upgrade"],
):
    sys.argv = ["bovw", *arguments]
    try:
        bovw.cli.app.main()
    except SystemExit as end:
        assert not end.code, (arguments, end.code)
"""


@pytest.mark.slow
def test_nothing_is_done_beyond_what_is_asked(
    tmp_path: Path, photos: list[Path], vocabulary: Vocabulary
) -> None:
    (tmp_path / "photos").mkdir()
    for photo in photos[:3]:
        (tmp_path / "photos" / photo.name).write_bytes(photo.read_bytes())
    vocabulary.save(tmp_path / "words")
    done = subprocess.run(
        [sys.executable, "-B", "-c", PROGRAM],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    assert not [line for line in lines if line.startswith("AUDIT")]
    written = {line.split(maxsplit=1)[1] for line in lines if line.startswith("WRITTEN")}
    others = {name for name in written if not name.startswith("index.bovw" + os.sep)}
    assert others == {"match.png", "found.html"}
