"""OpenCV, once it is sure that it is whole: its four packages overwrite one another, and whoever
removes one takes files of another away.
"""

from __future__ import annotations

from importlib import metadata

from .errors import MissingLibraryError

__all__ = ["cv2"]

PACKAGES = (
    *("opencv-contrib-python", "opencv-contrib-python-headless"),
    *("opencv-python", "opencv-python-headless"),
)


def mended() -> str:
    """What to say of an OpenCV that is not whole: which of its packages there are, and what mends
    it.
    """
    found = []
    for name in PACKAGES:
        try:
            found.append((name, metadata.version(name)))
        except metadata.PackageNotFoundError:
            continue
    installed = ", ".join(f"{name} {version}" for name, version in found) or "none of its packages"
    kept = next((name for name, _ in found if "contrib" in name), PACKAGES[0])
    removed = " ".join(name for name, _ in found) or kept
    return (
        f"OpenCV is not whole (it has no SIFT); installed: {installed}. Its packages overwrite one "
        f"another: `pip uninstall -y {removed}` and `pip install {kept}` mend it"
    )


try:
    import cv2
except ModuleNotFoundError as error:
    if error.name != "cv2":
        raise
    raise MissingLibraryError(mended()) from error
if not hasattr(cv2, "SIFT_create"):
    raise MissingLibraryError(mended())
