"""How the pixels of a picture are brought to a network."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import NetworkError, ParameterError

__all__ = ["Recipe", "beside", "from_options", "prepare"]

FITS = ("crop", "stretch", "pad")
LAYOUTS = ("NCHW", "NHWC")
# What most networks were trained with: mean and deviation of the colours of ImageNet.
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# Where the Hugging Face hub keeps what belongs to a network, beside it or one folder above.
CONFIG = "preprocessor_config.json"


@dataclass(frozen=True)
class Recipe:
    """What a network wants to see, and what it gives.

    Attributes:
        size: width and height of its input; None is what the model says or, if it says nothing,
            224 x 224.
        shorter: the short side that a picture is brought to before it is cut; None is that of
            `size`. For "crop" only.
        fit: "crop" cuts the middle out, "stretch" changes the proportions, "pad" adds mid grey.
        colours: "RGB" or "BGR".
        scale: pixels 0..255 are multiplied by it.
        mean, std: then subtracted, and divided by, one a colour in the order of `colours`.
        layout: "NCHW" or "NHWC"; None is what the model says or, if it says nothing, NCHW.
        output: name of the output; None is one that is called like a vector of a picture, else the
            first of the right shape.
        pool: of an output with a vector for each token, "first" or "mean".
    """

    size: tuple[int, int] | None = None
    shorter: int | None = None
    fit: str = "crop"
    colours: str = "RGB"
    scale: float = 1 / 255
    mean: tuple[float, float, float] = MEAN
    std: tuple[float, float, float] = DEVIATION
    layout: str | None = None
    output: str | None = None
    pool: str = "first"

    def __post_init__(self) -> None:
        checks = {
            "size": self.size is None or all(1 <= each <= 4096 for each in self.size),
            "shorter": self.shorter is None or 1 <= self.shorter <= 4096,
            "fit": self.fit in FITS,
            "colours": self.colours in ("RGB", "BGR"),
            "scale": np.isfinite(self.scale) and self.scale > 0,
            "mean": len(self.mean) == 3 and np.isfinite(self.mean).all(),
            "std": len(self.std) == 3 and min(self.std) > 0 and np.isfinite(self.std).all(),
            "layout": self.layout in (None, *LAYOUTS),
            "pool": self.pool in ("first", "mean"),
        }
        for name, sound in checks.items():
            if not sound:
                raise ParameterError(f"{name}: {getattr(self, name)!r} cannot be used")

    def to_json(self) -> str:
        """As a text that is the same for the same recipe."""
        return json.dumps(asdict(self), sort_keys=True)


def from_options(recipe: Recipe, options: Mapping[str, str]) -> Recipe:
    """A recipe with some of its values replaced, given as texts: `size` as one number or WxH, three
    numbers with commas between them or one for all three.

    Raises:
        ParameterError: a name or a value that cannot be.
    """
    names = [field.name for field in fields(Recipe)]
    values: dict[str, Any] = {}
    for name, text in options.items():
        if name not in names:
            raise ParameterError(f"{name!r} is unknown: take one of {', '.join(names)}")
        try:
            values[name] = value_of(name, text)
        except ValueError:
            raise ParameterError(f"{name}: {text!r} cannot be used") from None
    return replace(recipe, **values)


def value_of(name: str, text: str) -> Any:
    """A value of a recipe from its text. Raises ValueError."""
    if name == "size":
        sides = [int(side) for side in text.split("x")]
        return (sides[0], sides[-1]) if len(sides) < 3 else (0, 0)
    if name in ("mean", "std"):
        numbers = tuple(float(number) for number in text.split(","))
        return numbers * 3 if len(numbers) == 1 else numbers
    if name == "shorter":
        return int(text)
    return float(text) if name == "scale" else text


def beside(model: Path) -> Recipe:
    """The recipe that a preprocessor_config.json beside a model, or one folder above, tells; the
    usual one if there is none.

    Raises:
        NetworkError: it cannot be read.
    """
    for folder in (model.parent, model.parent.parent):
        path = folder / CONFIG
        if path.is_file():
            try:
                return of_config(json.loads(path.read_bytes()))
            except (OSError, ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
                raise NetworkError(f"{path}: cannot be used: {error}") from error
    return Recipe()


def of_config(config: dict[str, Any]) -> Recipe:
    """The recipe of a preprocessor_config.json."""
    size, cut = config.get("size"), config.get("crop_size")
    crops = bool(config.get("do_center_crop", cut is not None))
    shorter = size.get("shortest_edge") if isinstance(size, dict) else size if crops else None
    final = sides_of(cut) if crops else sides_of(size)
    scale = float(config.get("rescale_factor", 1 / 255)) if config.get("do_rescale", True) else 1.0
    normal = config.get("do_normalize", True)
    mean, std = config.get("image_mean", MEAN), config.get("image_std", DEVIATION)
    return Recipe(
        size=final,
        shorter=shorter and int(shorter),
        fit="crop" if crops else "stretch",
        scale=scale,
        mean=(float(mean[0]), float(mean[1]), float(mean[2])) if normal else (0.0, 0.0, 0.0),
        std=(float(std[0]), float(std[1]), float(std[2])) if normal else (1.0, 1.0, 1.0),
    )


def sides_of(size: Any) -> tuple[int, int] | None:
    """Width and height from what a config says of a size."""
    if isinstance(size, dict):
        size = size.get("shortest_edge") or (size["width"], size["height"])
    if size is None:
        return None
    return (
        (int(size), int(size)) if isinstance(size, (int, float)) else (int(size[0]), int(size[1]))
    )


def prepare(colours: NDArray[np.uint8], recipe: Recipe) -> NDArray[np.float32]:
    """The input of a network for one picture: (1, 3, h, w), or (1, h, w, 3) for NHWC.

    Args:
        colours: (h, w, 3) BGR.
    """
    width, height = recipe.size or (224, 224)
    pixels = fitted(colours, (width, height), recipe)
    if recipe.colours == "RGB":
        pixels = pixels[..., ::-1]
    scaled: NDArray[Any] = pixels.astype(np.float32) * np.float32(recipe.scale)
    scaled = (scaled - np.array(recipe.mean, np.float32)) / np.array(recipe.std, np.float32)
    if recipe.layout != "NHWC":
        scaled = scaled.transpose(2, 0, 1)
    return np.ascontiguousarray(scaled[None], np.float32)


def fitted(colours: NDArray[np.uint8], size: tuple[int, int], recipe: Recipe) -> NDArray[np.uint8]:
    """The pixels of a picture at another (width, height)."""
    if recipe.fit == "stretch":
        return resized(colours, size)
    height, width = colours.shape[:2]
    if recipe.fit == "pad":
        factor = min(size[0] / width, size[1] / height)
    else:
        factor = max(size[0] / width, size[1] / height)
        if recipe.shorter:
            factor = max(factor, recipe.shorter / min(width, height))
    inner = resized(colours, (max(1, round(width * factor)), max(1, round(height * factor))))
    x, y = (size[0] - inner.shape[1]) // 2, (size[1] - inner.shape[0]) // 2
    result = np.full((size[1], size[0], 3), 128, np.uint8)
    result[max(y, 0) :, max(x, 0) :][: inner.shape[0], : inner.shape[1]] = inner[
        max(-y, 0) : max(-y, 0) + size[1], max(-x, 0) : max(-x, 0) + size[0]
    ]
    return result


def resized(colours: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Pixels at another (width, height): by area means if that is smaller."""
    smaller = size[0] * size[1] < colours.shape[0] * colours.shape[1]
    method = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(colours, size, interpolation=method), np.uint8)
