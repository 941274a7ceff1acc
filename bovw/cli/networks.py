"""The options of the command that name other people's networks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from ..errors import ParameterError
from .console import parsed_pairs
from .options import FEATURE_PANEL, option

if TYPE_CHECKING:
    from ..networks.embedder import Embedder
    from ..networks.text import TextEncoder

__all__ = ["EmbedOption", "EmbedWithOption", "parsed_embedders", "parsed_encoder"]

EmbedOption = Annotated[
    str | None,
    option(
        FEATURE_PANEL,
        "A network that makes vectors of pictures, and what to call it.",
        value="NAME=MODEL.onnx",
    ),
]
EmbedWithOption = Annotated[
    list[str],
    option(
        FEATURE_PANEL,
        "How it is asked, where the model does not say so: size, shorter, fit, colours, scale, "
        "mean, std, layout, output, pool (docs/networks.md); repeatable.",
        value="KEY=VALUE",
    ),
]


def parsed_embedders(embed: str | None, embed_with: list[str]) -> list[Embedder]:
    """The embedder that is asked for, if one is."""
    if embed is None:
        if embed_with:
            raise ParameterError("--embed-with: says how --embed is asked, which is missing")
        return []
    from ..networks.model import load_embedder

    name, equals, model = embed.partition("=")
    if not equals or not model:
        raise ParameterError(f"--embed: {embed!r} is not NAME=MODEL.onnx")
    options = {key: str(value) for key, value in parsed_pairs("--embed-with", embed_with).items()}
    return [load_embedder(name, model, options)]


def parsed_encoder(model: Path | None, tokenizer: Path | None) -> TextEncoder:
    """What makes vectors of texts."""
    if model is None or tokenizer is None:
        raise ParameterError("--text: takes --text-model and --tokenizer, too (docs/networks.md)")
    from ..networks.text import TextEncoder

    return TextEncoder(model, tokenizer)
