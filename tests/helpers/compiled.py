"""The compiled loops as they are on processors that have nothing special."""

from __future__ import annotations

import ctypes
import subprocess
import sysconfig
import tempfile
from functools import cache
from pathlib import Path

from bovw import kernel


@cache
def plain_library() -> ctypes.CDLL:
    """The kernel as it is on processors other than x86-64."""
    compiler = (sysconfig.get_config_var("CC") or "cc").split()
    folder = Path(kernel.__file__).parent
    sources = sorted(folder.glob("_*.c"))
    with tempfile.TemporaryDirectory() as temporary:
        built = Path(temporary) / "plain.so"
        options = ["-DPLAIN", "-O2", "-ffp-contract=off", "-shared", "-fPIC"]
        subprocess.run([*compiler, *options, "-o", built, *sources, "-lm"], check=True)
        return ctypes.CDLL(str(built))
