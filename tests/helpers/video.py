"""A video made by PyAV."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.helpers.pictures import Pixels

RATE = 10


def make_video(
    path: Path,
    pictures: Sequence[Pixels],
    seconds: float,
    rotation: int = 0,
    container: str | None = None,
) -> Path:
    """Show pictures of one even size, each for some seconds, with a key frame each second. Skips
    the test where PyAV is not installed.

    Args:
        rotation: degrees counterclockwise by which players turn it.
        container: what the ending of the path says, by default.
    """
    av = pytest.importorskip("av", reason="av is not installed: pip install 'bovw[video]'")
    with av.open(str(path), "w", format=container) as file:
        stream = file.add_stream("mpeg4", rate=RATE)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt, stream.gop_size = "yuv420p", RATE
        stream.codec_context.bit_rate = 4_000_000
        if rotation and not hasattr(stream, "set_display_rotation"):
            pytest.skip("PyAV writes rotations from 17.1 on")
        if rotation:
            stream.set_display_rotation(rotation)
        for picture in pictures:
            for _ in range(round(seconds * RATE)):
                frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
                file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return path
