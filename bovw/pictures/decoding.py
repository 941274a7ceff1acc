"""From an opened picture file to upright pixels, within limits: all of it, or what is left."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile
from PIL.JpegImagePlugin import JpegImageFile

from ..errors import BovwError, ImageError
from . import raw, video
from .files import DamagedImageError, damaged, unreadable
from .formats import (
    decode_small,
    decoding_bytes,
    has_several_scans,
    opened_image,
    orientation_of,
    page_numbers,
    stored_orientation,
)
from .fragments import page_of, seconds_of, split_fragment
from .limits import Limits, require_memory, require_pixels
from .pixels import (
    colour_values,
    gray_of_array,
    gray_values,
    has_deep_colours,
    in_other_order,
    is_gray,
    low_bytes,
    low_channel,
    rows_of,
)
from .salvage import complete_rows, ended, without_metadata

__all__ = ["Box", "Decoded", "decoded"]

# x, y, width, height in pixels.
Box = tuple[int, int, int, int]
# EXIF orientations that swap width and height.
TURNED = (5, 6, 7, 8)


@dataclass(frozen=True)
class Decoded:
    """The pixels of a picture file, or of the part of it that can be read.

    Attributes:
        pixels: upright: (h, w) grey values, or (h, w, 3) BGR.
        size: upright (width, height) of the whole picture.
        part: what was read, in pixels of the upright picture.
        note: empty, or that the picture is cut off, and how much was read.
        unseen: how many pages its file has beside, if no page was named.
    """

    pixels: NDArray[np.uint8]
    size: tuple[int, int]
    part: Box
    note: str = ""
    unseen: int = 0


@dataclass(frozen=True)
class Job:
    """A picture file to decode.

    Attributes:
        path: its name.
        file: it, opened.
        draft: it may be decoded at a fraction of its size, but not below this long side.
        mode: "L" for grey values, "RGB" for colours or, if it has none, grey values.
        limits: what it may cost.
        page: of its file.
    """

    path: str
    file: BinaryIO
    draft: int | None
    mode: str
    limits: Limits
    page: int = 1

    def opened(self) -> ImageFile.ImageFile:
        """Its header, read. Raises ImageError."""
        return opened_image(self.path, self.file, self.page)


def decoded(path: str, file: BinaryIO, draft: int | None, mode: str, limits: Limits) -> Decoded:
    """The upright pixels of a picture file. Of a damaged one it is what there is to see: all, if
    only what lies beside the pixels is damaged, or the rows that can be decoded.

    Args: as the attributes of a Job; the path may say which page or time of the file is meant.

    Raises:
        ImageError: nothing of it can be decoded, it is beyond a limit, or its file has no such page
            or time.
    """
    fragment = split_fragment(path)[1]
    seconds, job = seconds_of(fragment), Job(path, file, draft, mode, limits, page_of(fragment))
    with our_errors(path):
        if video.is_video(file):
            return decode_frame(job, seconds)
        if seconds is not None:
            raise ImageError(path, "has no times: it is no video")
        if raw.is_raw(path, file):
            return decode_raw(job)
        found = decode_picture(job)
        return found if fragment else replace(found, unseen=len(page_numbers(file)) - 1)


def decode_frame(job: Job, seconds: float | None) -> Decoded:
    """The frame of a video at a time, or the first. Raises ImageError."""
    if job.page > 1:
        raise ImageError(job.path, f"has no page {job.page}")
    frame = video.frame_at(job.path, job.file, seconds or 0.0, job.limits)
    size = (frame.shape[1], frame.shape[0])
    pixels = frame if job.mode == "RGB" else gray_of_array(frame)
    note = "the first frame of a video: #t=SECONDS names another" if seconds is None else ""
    return Decoded(pixels, size, (0, 0, *size), note)


def decode_raw(job: Job) -> Decoded:
    """The picture of a RAW file: the preview in it if that is large enough, else what the values of
    the sensor give. Raises ImageError.
    """
    if job.page > 1:
        raise ImageError(job.path, f"has no page {job.page}")
    with raw.opened_raw(job.path, job.file, job.limits) as opened:
        size = raw.size_of(opened)
        side = job.draft or max(size)
        jpeg = raw.preview(opened, min(side, max(size)))
        if jpeg:
            with suppress(DamagedImageError):
                shown = decode_whole(replace(job, file=io.BytesIO(jpeg), draft=side))
                return Decoded(shown.pixels, size, (0, 0, *size))
        image = Image.fromarray(raw.developed(job.path, opened, side, job.limits))
    pixels = gray_values(image) if job.mode == "L" else colour_values(image, side)
    return Decoded(pixels, size, (0, 0, *size))


def decode_picture(job: Job) -> Decoded:
    """A picture, or what is left of it. Raises ImageError."""
    try:
        return decode_whole(job)
    except DamagedImageError as error:
        for attempt in (decode_alone, decode_finished, decode_rows, decode_ended):
            with suppress(DamagedImageError):
                found = attempt(job)
                if job.limits.strict and found.note:
                    raise ImageError(job.path, f"is {found.note}") from error
                return found
        raise


def decode_whole(job: Job) -> Decoded:
    """All of a picture. Raises ImageError."""
    with our_errors(job.path):
        image, size = prepared(job)
        gray = job.mode == "L" or is_gray(image)
        deep = gray and has_deep_colours(image)
        low = low_bytes(job.opened()) if deep else None
        side = job.draft or max(size)
        pixels = gray_values(image, low) if gray else colour_values(image, side)
        orientation = orientation_of(image)
        size = image.size if image.format == "TIFF" else size  # Pillow has turned it by now
        del image, low  # and their memory
        return upright(pixels, size, (0, 0, *size), orientation)


def decode_alone(job: Job) -> Decoded:
    """All of a picture, without what else is in its file. Raises ImageError."""
    with our_errors(job.path):
        return decode_whole(bare(job))


def decode_rows(job: Job, with_end: bool = False) -> Decoded:
    """The rows of a picture that can be decoded. Raises ImageError."""
    with our_errors(job.path):
        job = bare(job)
        image, size = prepared(job, copies=2)
        gray = job.mode == "L" or is_gray(image)
        deep = gray and has_deep_colours(image)
        orientation = stored_orientation(image)
        coarse = with_end and isinstance(image, JpegImageFile) and has_several_scans(image)
        turned = image.format == "TIFF"  # by Pillow, in what it says of its size
        del image
        whole, first, last = complete_rows(lambda: prepared(job)[0], with_end)
        other = whole
        if deep:
            other, lowest, highest = complete_rows(lambda: in_other_order(job.opened()))
            first, last = max(first, lowest), min(last, highest)
        if last <= first:
            raise damaged(job.path, ValueError("none of its rows can be read"))
        rows, height = rows_of(whole, first, last), whole.height
        size = whole.size if turned else size
        low = low_channel(rows_of(other, first, last)) if deep else None
        pixels = gray_values(rows, low) if gray else colour_values(rows, job.draft or max(size))
        top, bottom = math.ceil(first * size[1] / height), last * size[1] // height
        found = upright(pixels, size, (0, top, size[0], bottom - top), orientation)
        return replace(found, note=note_of((bottom - top) / size[1], coarse=coarse))


def decode_finished(job: Job) -> Decoded:
    """All of a picture that lacks nothing but the end of its file. Raises ImageError."""
    found = decode_ended(job)
    if found.note:
        raise damaged(job.path, ValueError(found.note))
    return found


def decode_ended(job: Job) -> Decoded:
    """What there is of a picture that can be decoded as a whole only. Raises ImageError."""
    with our_errors(job.path):
        file = ended(bare(job).file)
        if file is None:
            raise damaged(job.path, ValueError("it cannot be ended"))
        return decode_rows(replace(job, file=file), with_end=True)


def note_of(share: float, coarse: bool) -> str:
    """What is to be said of a picture of which a share could be read."""
    if share == 1 and not coarse:
        return ""
    return f"cut off: {math.floor(share * 100)} % read{', coarsely' if coarse else ''}"


def bare(job: Job) -> Job:
    """A picture without what its pixels do not need, if that can be had."""
    job.file.seek(0)
    if job.file.seek(0, 2) > job.limits.memory:
        return job
    return replace(job, file=without_metadata(job.file) or job.file)


def prepared(job: Job, copies: int = 1) -> tuple[ImageFile.ImageFile, tuple[int, int]]:
    """A picture, opened, its header checked against the limits, to be decoded small if it may be;
    and the (width, height) of all of it.

    Args:
        copies: how many of it will be in memory.
    """
    image = job.opened()
    size = image.size
    require_pixels(job.path, size, job.limits)
    if job.draft is not None:
        decode_small(image, job.mode, job.draft)
    require_memory(job.path, copies * decoding_bytes(image, size), job.limits)
    return image, size


@contextmanager
def our_errors(path: str) -> Iterator[None]:
    """Whatever a decoder raises is an ImageError."""
    try:
        yield
    except BovwError:
        raise
    except MemoryError:
        raise ImageError(path, "is too large: the memory does not suffice") from None
    except OSError as error:
        raise (unreadable if error.errno else damaged)(path, error) from error
    except Exception as error:  # what decoders raise of damaged files has no end
        raise damaged(path, error) from error


def upright(
    pixels: NDArray[np.uint8], size: tuple[int, int], part: Box, orientation: int
) -> Decoded:
    """Pixels as they are stored -> as they are to be seen, by the EXIF orientation 1..8.

    Args:
        size: of the picture as it is stored.
        part: what the pixels show of it.
    """
    x, y, width, height = part
    if orientation in TURNED:
        pixels, size = pixels.swapaxes(0, 1), size[::-1]
        x, y, width, height = y, x, height, width
    down, across = (orientation in mirrored for mirrored in ((3, 4, 7, 8), (2, 3, 6, 7)))
    if down:
        pixels, y = pixels[::-1], size[1] - y - height
    if across:
        pixels, x = pixels[:, ::-1], size[0] - x - width
    return Decoded(np.ascontiguousarray(pixels), size, (x, y, width, height))
