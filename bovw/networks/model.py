"""A network in an ONNX file, run by onnxruntime or, without it, by OpenCV."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import NetworkError
from .declared import declared
from .embedder import Embedder
from .recipe import Recipe, beside, from_options, prepare

__all__ = [
    "OnnxNetwork",
    "RuntimeSession",
    "Session",
    "asked",
    "content_of",
    "load_embedder",
    "opened_session",
    "pooled",
    "usual_output",
]

# Names of outputs that are the vector of a whole picture or text, best first.
VECTORS = ("image_embeds", "text_embeds", "embedding", "embeddings", "pooler_output", "features")
# What a network gets whose input is of one of these types; else float32.
INPUTS = {"tensor(float16)": np.float16, "tensor(uint8)": np.uint8}


class Session(Protocol):
    """A network, ready to be asked."""

    inputs: dict[str, tuple[list[Any], str]]
    outputs: list[str]

    def run(self, values: Mapping[str, NDArray[Any]], output: str) -> NDArray[Any]:
        """One of its outputs."""


class RuntimeSession:
    """A network that onnxruntime runs, in one thread: processes work beside one another.

    Attributes:
        inputs: shape and type of each input.
        outputs: the names of the outputs.
    """

    def __init__(self, path: str) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        self.session = onnxruntime.InferenceSession(
            path, options, providers=["CPUExecutionProvider"]
        )
        self.inputs = {each.name: (each.shape, each.type) for each in self.session.get_inputs()}
        self.outputs = [each.name for each in self.session.get_outputs()]

    def run(self, values: Mapping[str, NDArray[Any]], output: str) -> NDArray[Any]:
        """One of its outputs."""
        return np.asarray(self.session.run([output], dict(values))[0])


class OpencvSession:
    """A network that OpenCV runs.

    Attributes:
        inputs: shape and type of each input, as the file has them.
        outputs: the names of the outputs.
    """

    def __init__(self, path: str) -> None:
        self.inputs, self.outputs = declared(path)
        self.net = cv2.dnn.readNetFromONNX(path)

    def run(self, values: Mapping[str, NDArray[Any]], output: str) -> NDArray[Any]:
        """One of its outputs."""
        for name, blob in values.items():
            shape = self.inputs[name][0]
            if any(isinstance(n, int) and n != m for n, m in zip(shape, blob.shape, strict=True)):
                raise ValueError(f"it takes {shape}")  # OpenCV would run it all the same
            self.net.setInput(blob, name)
        return np.asarray(self.net.forward(output))


@lru_cache(maxsize=4)
def opened_session(path: str, content: str) -> Session:
    """The network in a file, opened once a process.

    Args:
        content: SHA-256 of the file.

    Raises:
        NetworkError: nothing can run it, or it is another file by now.
    """
    if content_of(path) != content:
        raise NetworkError(f"{path}: has changed since the run began")
    try:
        try:
            return RuntimeSession(path)
        except ImportError:
            return OpencvSession(path)
    except Exception as error:  # whatever the two raise of a file that they cannot run
        reason = str(error).strip().splitlines()[:1]
        raise NetworkError(
            f"{path}: cannot be run: {reason[0] if reason else error!r:.200}"
            + ("" if has_runtime() else "; try it with onnxruntime: pip install 'bovw[embed]'")
        ) from error


@dataclass(frozen=True)
class OnnxNetwork:
    """The function of an embedder: a network in an ONNX file. It can be pickled.

    Attributes:
        path: of the file, absolute.
        content: its SHA-256.
        recipe: how it is asked.
    """

    path: str
    content: str
    recipe: Recipe

    def __call__(self, colours: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The vector (d,) of a picture (h, w, 3) BGR. Raises NetworkError."""
        session = opened_session(self.path, self.content)
        name, recipe, kind = self.input_of(session)
        if kind == "tensor(uint8)":
            recipe = replace(recipe, scale=1.0, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
        blob = prepare(colours, recipe).astype(INPUTS.get(kind, np.float32), copy=False)
        found = asked(session, self.path, {name: blob}, self.output_of(session))
        return pooled(self.path, found, recipe)

    def input_of(self, session: Session) -> tuple[str, Recipe, str]:
        """The name of the input, the recipe with what the network says of itself, and the type."""
        if len(session.inputs) != 1:
            names = ", ".join(session.inputs)
            raise NetworkError(
                f"{self.path}: has the inputs {names}: take the network of the pictures alone"
            )
        ((name, (shape, kind)),) = session.inputs.items()
        if len(shape) != 4:
            raise NetworkError(
                f"{self.path}: its input has the shape {shape}: it takes no pictures"
            )
        layout = self.recipe.layout or ("NHWC" if shape[3] == 3 and shape[1] != 3 else "NCHW")
        sides = (shape[3], shape[2]) if layout == "NCHW" else (shape[2], shape[1])
        known = all(isinstance(side, int) and side > 0 for side in sides)
        size = self.recipe.size or (sides if known else (224, 224))
        return name, replace(self.recipe, layout=layout, size=size), kind

    def output_of(self, session: Session) -> str:
        """The name of the output that is taken."""
        if self.recipe.output:
            if self.recipe.output not in session.outputs:
                names = ", ".join(session.outputs)
                raise NetworkError(
                    f"{self.path}: has no output {self.recipe.output!r}, but {names}"
                )
            return self.recipe.output
        return usual_output(session)


def usual_output(session: Session) -> str:
    """The name of the output that is called like a vector, or of the first."""
    named = [name for name in VECTORS if name in session.outputs]
    return (named or session.outputs)[0]


def asked(
    session: Session, path: str, values: Mapping[str, NDArray[Any]], output: str
) -> NDArray[Any]:
    """An output of a network. Raises NetworkError if it cannot be run on these values."""
    try:
        return session.run(values, output)
    except Exception as error:  # whatever the two libraries raise
        shapes = ", ".join(str(value.shape) for value in values.values())
        reason = " ".join(str(error).split())[:200]
        raise NetworkError(f"{path}: cannot be run on {shapes}: {reason}") from error


def pooled(path: str, found: NDArray[Any], recipe: Recipe) -> NDArray[np.float32]:
    """The vector (d,) of an output: (1, d) is it, (1, tokens, d) has it for each token, and maps
    (1, d, h, w), or (1, h, w, d) for NHWC, are averaged over their places.
    """
    if not found.size or found.shape[0] != 1 or not 2 <= found.ndim <= 4:
        raise NetworkError(
            f"{path}: an output of the shape {found.shape} is no vector of a picture"
        )
    values = np.asarray(found[0], np.float32)
    if values.ndim == 2:
        values = values[0] if recipe.pool == "first" else values.mean(axis=0)
    elif values.ndim == 3:
        values = values.mean(axis=(0, 1) if recipe.layout == "NHWC" else (1, 2))
    return values


def load_embedder(
    name: str, model: str | os.PathLike[str], options: Mapping[str, str] | None = None
) -> Embedder:
    """The embedder of a network in an ONNX file.

    What the model says of its input holds, and so does a preprocessor_config.json beside it, as the
    Hugging Face hub has them; else the usual: RGB, 224 x 224 cut out of the middle, mean and
    deviation of ImageNet.

    Args:
        name: what to call it.
        model: the ONNX file.
        options: of its recipe, as texts: size (224 or 224x192), shorter, fit (crop, stretch or
            pad), colours (RGB or BGR), scale, mean and std (1 or 3 numbers with commas), layout
            (NCHW or NHWC), output, pool (first or mean).

    Raises:
        NetworkError: it cannot be read or run, or makes no vectors of pictures.
        ParameterError: the name, or an option.

    Example:
        >>> from bovw import NetworkError, load_embedder
        >>> try:
        ...     load_embedder("dino", "absent.onnx")
        ... except NetworkError as error:
        ...     print(error)
        absent.onnx: there is no such file
    """
    path = Path(model)
    content = content_of(os.fspath(path))
    recipe = from_options(beside(path), options or {})
    network = OnnxNetwork(os.path.abspath(path), content, recipe)
    longest = max(*(recipe.size or (224, 224)), recipe.shorter or 0)
    embedder = Embedder(
        name, network, f"{content} {recipe.to_json()}", min(4096, max(512, 2 * longest))
    )
    embedder.width  # noqa: B018 - raises if it does not work
    return embedder


def content_of(path: str) -> str:
    """The SHA-256 of a file, hexadecimal. Raises NetworkError."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise NetworkError(f"{path}: there is no such file") from None
    except OSError as error:
        raise NetworkError(f"{path}: cannot be read: {error.strerror}") from error


def has_runtime() -> bool:
    """Whether onnxruntime is installed."""
    from importlib.util import find_spec

    return find_spec("onnxruntime") is not None
