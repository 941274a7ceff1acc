#!/usr/bin/env python3
"""Make data/query.jpg, the example query picture, out of one picture in data/photos/.

    python3 data/make_query.py [OUTPUT]        (default: data/query.jpg)

The query is a window of about 20 % of the area of the photograph, turned by
25 degrees, shrunk to 0.6 of its size and saved as JPEG of quality 40.  The
turned window lies completely inside the photograph, so that no corner has to
be filled.  There is nothing random in here: the same versions of OpenCV and
Pillow write the same file again.
"""

import math
import sys
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

HERE = Path(__file__).resolve().parent
SOURCE = HERE / "photos" / "carcassonne-walls.jpg"
CENTRE = (500.0, 275.0)  # middle of the window in the photograph, x, y
AREA = 0.20  # share of the photograph the window covers
ASPECT = 1.25  # width / height of the window
ANGLE = 25.0  # degrees; the content appears turned anticlockwise
SCALE = 0.6  # size of the query : size of the window
QUALITY = 40  # JPEG quality


def window_size(width, height):
    """Width and height in pixels of the window to cut out."""
    h = math.sqrt(AREA * width * height / ASPECT)
    return round(ASPECT * h), round(h)


def rotation(w, h):
    """2x3 matrix from pixels of the photograph to pixels of the w x h window."""
    m = cv2.getRotationMatrix2D(CENTRE, ANGLE, 1.0)
    m[:, 2] += np.array([(w - 1) / 2, (h - 1) / 2]) - CENTRE
    return m


def make_query(image):
    """The turned and shrunk window out of `image` (height x width x 3, uint8)."""
    height, width = image.shape[:2]
    w, h = window_size(width, height)
    m = rotation(w, h)

    corners = np.array([[0, 0, 1], [w - 1, 0, 1], [w - 1, h - 1, 1], [0, h - 1, 1]], float)
    back = cv2.invertAffineTransform(m)
    inside = corners @ back.T
    if inside.min() < 0 or (inside > [width - 1, height - 1]).any():
        raise ValueError(f"the turned window leaves the photograph: {inside.round(1).tolist()}")

    turned = cv2.warpAffine(image, m, (w, h), flags=cv2.INTER_CUBIC)
    size = (round(w * SCALE), round(h * SCALE))
    return cv2.resize(turned, size, interpolation=cv2.INTER_AREA)


def main():
    """Write the query picture."""
    output = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "query.jpg"
    with Image.open(SOURCE) as picture:
        image = np.asarray(picture.convert("RGB"))
    query = make_query(image)
    Image.fromarray(query).save(output, "JPEG", quality=QUALITY)
    print(f"{output}: {query.shape[1]} x {query.shape[0]} pixels out of {SOURCE.name}")


if __name__ == "__main__":
    main()
