"""The command as a process of its own, and in this one."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from pathlib import Path

from bovw.cli import app


def run(
    *arguments: str | Path, cwd: Path, stdin: bytes = b"", env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "bovw", *(os.fspath(argument) for argument in arguments)],
        cwd=cwd,
        input=stdin,
        capture_output=True,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "PYTHONWARNINGS": "error",
            **(env or {}),
        },
    )
    stdout, stderr = (part.decode(errors="surrogateescape") for part in (done.stdout, done.stderr))
    assert "Traceback" not in stderr, stderr
    return subprocess.CompletedProcess(done.args, done.returncode, stdout, stderr)


def run_here(*arguments: str | Path, stdin: bytes = b"") -> subprocess.CompletedProcess[str]:
    """The command in this process and folder: a tenth of the time. What may end the process needs
    one of its own.
    """
    raw, err = io.BytesIO(), io.StringIO()
    out = io.TextIOWrapper(raw, errors="surrogateescape")
    before = sys.argv, sys.stdin
    sys.argv = ["bovw", *(os.fspath(argument) for argument in arguments)]
    sys.stdin = io.TextIOWrapper(io.BytesIO(stdin))
    code: object = "no code"
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            app.main()
    except SystemExit as end:
        code = end.code
    finally:
        done, sys.argv, sys.stdin = sys.argv, *before
    out.flush()
    text = raw.getvalue().decode(errors="surrogateescape")
    return subprocess.CompletedProcess(done, code, text, err.getvalue())  # type: ignore[arg-type]
