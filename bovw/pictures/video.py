"""Video files: their key frames, thinned, and the frame that is shown at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..errors import ImageError
from .files import damaged
from .limits import Limits, require_memory, require_pixels

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

__all__ = ["VIDEO_SUFFIXES", "frame_at", "is_video", "key_frame_times"]

VIDEO_SUFFIXES = frozenset(
    [
        *(".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg"),
        *(".mts", ".ogv", ".webm", ".wmv"),
    ]
)
# What files of these kinds begin with, and where. Brands of `ftyp` that are pictures.
MARKS = (
    (0, b"\x1a\x45\xdf\xa3"),
    (8, b"AVI "),
    (0, b"FLV\x01"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"),
    (0, b"\x00\x00\x01\xba"),
    (0, b"\x00\x00\x01\xb3"),
    (0, b"OggS"),
    *((4, each) for each in (b"ftyp", b"moov", b"mdat", b"wide")),
)
PICTURES = (b"hei", b"hev", b"mif", b"msf", b"avi", b"jp2", b"jpx", b"crx")
# Bytes of a packet of an MPEG transport stream, and where in a file the first may begin.
PACKET, OFFSETS = 188, (0, 4)
# The only kinds that are opened: others name files or addresses that would be opened, too.
KINDS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,flv,asf,mpeg,mpegvideo,mpegts,ogg"
# Bytes a pixel that decoding may take: pictures that others refer to, and the colours of one.
DECODING = 33
# Key frames nearer than this in seconds to the one before are left out, and further ones where
# there would be more than this in a file.
GAP, MOST = 2.0, 1000
# Times are written to the millisecond.
ROUNDING = 0.0006


def is_video(file: BinaryIO) -> bool:
    """Whether the content of an opened file is that of a video."""
    file.seek(0)
    start = file.read(2 * PACKET + OFFSETS[-1])
    if start[4:8] == b"ftyp" and start[8:11] in PICTURES:
        return False
    marked = any(start[at : at + len(mark)] == mark for at, mark in MARKS)
    return marked or any(
        start[at::PACKET][:2] == b"GG" and start[at + 1 :][:3] != b"IF8" for at in OFFSETS
    )


@contextmanager
def opened_video(path: str, file: BinaryIO) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a video. Raises ImageError: it cannot be, or PyAV is not installed; and whatever is
    wrong with it inside.
    """
    try:
        import av
    except ImportError:
        raise ImageError(
            path, "is a video: that needs the package av (pip install 'bovw[video]')"
        ) from None
    file.seek(0)
    whitelist = {"format_whitelist": KINDS, "protocol_whitelist": "none"}
    try:
        with av.open(
            file, mode="r", container_options=whitelist, metadata_errors="ignore"
        ) as container:
            if not container.streams.video:
                raise ImageError(path, "is a video without pictures")
            yield container, container.streams.video[0]
    except av.FFmpegError as error:
        raise damaged(path, ValueError(error.strerror or "no video")) from error


def start_of(container: InputContainer) -> float:
    """The time that players show as 0, in seconds."""
    return (container.start_time or 0) / 1e6


def key_frame_times(path: str, file: BinaryIO) -> list[float]:
    """The times of the key frames of a video in seconds, thinned; the first is 0. Raises
    ImageError.
    """
    with opened_video(path, file) as (container, stream):
        start = start_of(container)
        times = sorted(
            float(packet.pts * packet.time_base) - start
            for packet in container.demux(stream)
            if packet.is_keyframe and packet.pts is not None and packet.time_base
        )
    step = max(GAP, (times[-1] - times[0]) / MOST) if times else GAP
    kept = times[:1]
    for time in times:
        if time >= kept[-1] + step:
            kept.append(time)
    return [0.0, *kept[1:]]


def frame_at(path: str, file: BinaryIO, seconds: float, limits: Limits) -> NDArray[np.uint8]:
    """The frame (h, w, 3) BGR that a video shows at a time, upright; the first before that.

    Raises:
        ImageError: it ends before, is damaged, or beyond a limit.
    """
    with opened_video(path, file) as (container, stream):
        size = (stream.codec_context.width, stream.codec_context.height)
        require_pixels(path, size, limits)
        require_memory(path, DECODING * size[0] * size[1], limits)
        # should frames be larger than the header says
        most = min(limits.pixels, limits.memory // DECODING, 2**31 - 1)
        stream.codec_context.options = {"max_pixels": str(int(most))}
        stream.codec_context.thread_count = 1
        start, wanted = start_of(container), seconds + ROUNDING
        if seconds > 0:
            container.seek(int((start + wanted) * 1e6), backward=True)
        found, at, more = None, 0.0, False
        for frame in container.decode(stream):
            if frame.is_corrupt or frame.time is None:
                continue
            if found is not None and frame.time - start > wanted:
                more = True
                break
            found, at = frame, frame.time - start
            if abs(at - seconds) <= ROUNDING:
                more = True
                break
        if found is None:
            raise damaged(path, ValueError("no frame can be decoded"))
        if not more and seconds > at + 1:
            raise ImageError(path, f"has no frame at {seconds:g} seconds: the last is at {at:.3f}")
        pixels = found.to_ndarray(format="bgr24")
        return np.ascontiguousarray(np.rot90(pixels, round(found.rotation / 90) % 4))
