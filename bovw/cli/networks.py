"""The options of the command that name other people's networks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import ParameterError
from .console import parsed_pairs

if TYPE_CHECKING:
    from ..networks.embedder import Embedder

__all__ = ["EmbedOption", "EmbedWithOption", "parsed_embedders"]

EmbedOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME=MODEL.onnx",
        help="A network that makes vectors of pictures, and what to call it.",
    ),
]
EmbedWithOption = Annotated[
    list[str],
    typer.Option(
        metavar="KEY=VALUE",
        help="How it is asked, where the model does not say so: size, shorter, fit, colours, "
        "scale, mean, std, layout, output, pool (docs/networks.md); repeatable.",
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
