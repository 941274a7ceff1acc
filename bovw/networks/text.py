"""The words of a description as a vector, by the text half of a network such as CLIP."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import MissingLibraryError, NetworkError
from .embedder import require_vector
from .model import asked, content_of, opened_session, pooled, usual_output
from .recipe import Recipe

__all__ = ["TextEncoder"]

# Tokens of a text, at most, where the network does not say how many it takes.
TOKENS = 77


@dataclass(frozen=True)
class TextEncoder:
    """The text half of a network whose picture half is an embedder.

    Attributes:
        model: an ONNX file that takes `input_ids`, and `attention_mask` if it wants one.
        tokenizer: a tokenizer.json, as the Hugging Face hub has them beside the model.

    Raises:
        MissingLibraryError: the library `tokenizers` is not installed.
        NetworkError: one of the files cannot be used.

    Example:
        >>> from bovw import NetworkError, TextEncoder
        >>> try:
        ...     TextEncoder("absent.onnx", "tokenizer.json").vector("a red boat")
        ... except NetworkError as error:
        ...     print(error)
        absent.onnx: there is no such file
    """

    model: str | os.PathLike[str]
    tokenizer: str | os.PathLike[str]

    def vector(self, text: str) -> NDArray[np.float32]:
        """The vector (d,) of a text."""
        path = os.path.abspath(self.model)
        name = os.fspath(self.model)
        session = opened_session(path, content_of(name))
        tokens, mask = self.tokens(text)
        values = {}
        for input_name, (shape, kind) in session.inputs.items():
            length = shape[-1] if isinstance(shape[-1], int) else len(tokens)
            number = np.int32 if kind == "tensor(int32)" else np.int64
            if input_name == "input_ids" or len(session.inputs) == 1:
                row = filled(tokens, length)
            elif input_name == "attention_mask":
                row = filled(mask, length)
            else:
                raise NetworkError(f"{name}: wants {input_name}, which no text has")
            values[input_name] = np.array([row], number)
        found = asked(session, name, values, usual_output(session))
        return require_vector(name, pooled(name, found, Recipe()))

    def tokens(self, text: str) -> tuple[list[int], list[int]]:
        """The numbers of the tokens of a text, and 1 for each that is of the text, 0 for what the
        tokenizer fills up with. A long text is cut before the token that ends it.
        """
        try:
            from tokenizers import Tokenizer
        except ImportError:
            raise MissingLibraryError(
                "a text needs the library tokenizers: pip install 'bovw[embed]'"
            ) from None
        try:
            tokenizer = Tokenizer.from_file(os.fspath(self.tokenizer))
            if tokenizer.truncation is None:
                tokenizer.enable_truncation(TOKENS)
            encoding = tokenizer.encode(text)
        except Exception as error:  # the library raises plain exceptions
            raise NetworkError(f"{os.fspath(self.tokenizer)}: is no tokenizer: {error}") from error
        return list(encoding.ids), list(encoding.attention_mask)


def filled(tokens: list[int], length: int) -> list[int]:
    """Tokens, brought to a length by cutting or by zeros."""
    return (tokens + [0] * length)[:length]
