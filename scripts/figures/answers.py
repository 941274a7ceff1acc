"""What bovw answers, drawn by bovw: a match, differences, duplicates, a map."""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np

from bovw import (
    ImageIndex,
    compare_pictures,
    draw_comparison,
    draw_match,
    find_duplicates,
    map_images,
    save_picture,
)

from .collection import DATA, QUERY, Photos, photo_of
from .sheet import GREY, INK, WIDTH, Pixels, Sheet, fitted

__all__ = ["compare", "duplicates", "map_of_photos", "match"]

# Pixels of the long side of a thumbnail on the map, and around all.
THUMBNAIL, MARGIN = 80, 16
KEPT, MEMBER, GAP = 360, 150, 15


def match(photos: Photos) -> Sheet:
    """The drawing of the README's first search."""
    found = photos.index.search(QUERY, crop=True).matches[0]
    return of_width(draw_match(QUERY, found.path, found))


def compare(_: Photos) -> Sheet:
    """The differences between a painting and a changed copy of it."""
    first = photo_of(DATA / "photos" / "van-gogh-harvest.jpg")
    second = photographed(changed(first))
    return of_width(draw_comparison(first, second, compare_pictures(first, second)))


def changed(harvest: Pixels) -> Pixels:
    """The Harvest with a house more, without the red wheels, and with a cart of another colour."""
    picture = harvest.copy()
    picture[136:172, 420:494] = harvest[136:172, 312:386]
    picture[232:268, 448:504] = harvest[232:268, 396:452]
    picture[216:260, 274:344] = harvest[216:260, 274:344, ::-1]
    return picture


def photographed(picture: Pixels) -> Pixels:
    """The same turned a little, smaller, in other light, and as JPEG."""
    height, width = picture.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), 9, 0.85)
    turned = cv2.warpAffine(picture, matrix, (width, height), borderValue=(90, 90, 90))
    dim = np.asarray(cv2.convertScaleAbs(turned, alpha=0.8, beta=10), np.uint8)
    return decoded(dim, 75)


def decoded(picture: Pixels, quality: int) -> Pixels:
    """A picture as JPEG has it."""
    file = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(file, cv2.IMREAD_COLOR), np.uint8)


def write_copies(folder: Path) -> None:
    """Write a photograph, and what becomes of photographs, to a folder."""
    source = DATA / "photos" / "crab-on-rock.jpg"
    photo = photo_of(source)
    shutil.copy(source, folder)
    turned = np.asarray(cv2.rotate(photo, cv2.ROTATE_90_CLOCKWISE), np.uint8)
    framed = np.full((photo.shape[0] + 180, photo.shape[1] + 80, 3), (60, 40, 40), np.uint8)
    framed[40:-140, 40:-40] = photo
    edited = scaled(photo, 0.9)
    edited[430:490, 30:630] = (40, 40, 200)
    copies = {
        "small": scaled(photo, 0.5),
        "saved-again": decoded(photo, 40),
        "scan": scaled(turned, 0.8),
        "flipped": photo[:, ::-1],
        "claws": photo[140:520, 330:800],
        "post": scaled(framed, 0.75),
        "banner": edited,
    }
    for name, picture in copies.items():
        save_picture(folder / f"{name}.jpg", picture)


def scaled(picture: Pixels, factor: float) -> Pixels:
    """A picture, shrunk."""
    way = cv2.INTER_AREA
    return np.asarray(cv2.resize(picture, None, fx=factor, fy=factor, interpolation=way), np.uint8)


def duplicates(_: Photos) -> Sheet:
    """A group of duplicates: what is kept, and what each other image is to it."""
    with TemporaryDirectory() as folder, ImageIndex.in_memory() as index:
        write_copies(Path(folder))
        index.add([folder])
        groups = find_duplicates(index).groups
        pictures = {record.id: photo_of(record.path) for record in index.records()}
    group = groups[0]
    sheet = Sheet(WIDTH, 350)
    kept = fitted(pictures[group.kept.id], KEPT, KEPT)
    sheet.picture(MARGIN, MARGIN, kept)
    width, height = group.kept.size
    below = MARGIN + kept.shape[0]
    sheet.text(MARGIN, below + 20, "keep", 16)
    sheet.text(MARGIN, below + 40, f"{width} x {height}, {group.kept.size_bytes:,} bytes", 14, GREY)
    for number, member in enumerate(group.members):
        row, column = divmod(number, 3)
        x = MARGIN + KEPT + GAP + 14 + column * (MEMBER + GAP)
        y = MARGIN + row * 108
        picture = fitted(pictures[member.image.id], MEMBER, 84)
        sheet.picture(x, y, picture)
        sheet.text(x, y + 100, member.relation.text(), 13, INK)
    return sheet


def map_of_photos(photos: Photos) -> Sheet:
    """The map of the photographs: what looks alike lies near."""
    found = map_images(photos.index)
    low, high = found.positions.min(axis=0), found.positions.max(axis=0)
    room = np.array([WIDTH, 620]) - THUMBNAIL - 2 * MARGIN
    places = (found.positions - low) / (high - low) * room + MARGIN + THUMBNAIL / 2
    sheet = Sheet(WIDTH, 620)
    for record, (x, y) in zip(found.records, places.tolist(), strict=True):
        picture = fitted(photo_of(record.path), THUMBNAIL, THUMBNAIL)
        height, width = picture.shape[:2]
        sheet.box(x - width / 2 - 2, y - height / 2 - 2, width + 4, height + 4, (255, 255, 255))
        sheet.picture(x - width / 2, y - height / 2, picture)
    return sheet


def of_width(drawing: Pixels) -> Sheet:
    """A drawing on a sheet of its own."""
    height = round(drawing.shape[0] * WIDTH / drawing.shape[1])
    sheet = Sheet(WIDTH, height)
    sheet.picture(0, 0, fitted(drawing, WIDTH, height))
    return sheet
