"""What an ONNX file declares: its inputs and outputs, for whatever runs it without saying so."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["Declared", "declared"]

# Shapes and types of inputs by their names, and the names of the outputs.
Declared = tuple[dict[str, tuple[list[Any], str]], list[str]]
# Numbers of the types that pictures and texts come in (onnx.proto, TensorProto.DataType).
KINDS = {1: "float", 2: "uint8", 3: "int8", 6: "int32", 7: "int64", 10: "float16", 11: "double"}
# Numbers of the fields that are read, by the message that has them (onnx.proto).
GRAPH, INITIALIZER, INPUT, OUTPUT, TENSOR_NAME = 7, 5, 11, 12, 8
VALUE_NAME, VALUE_TYPE, TENSOR_TYPE, ELEMENT, SHAPE = 1, 2, 1, 1, 2
DIMENSION, NUMBER, LETTER = 1, 1, 2


def declared(path: str | os.PathLike[str]) -> Declared:
    """The inputs and outputs of the graph in an ONNX file, in its order. A dimension is a number, a
    name or None. Constants that old files list among the inputs are left out.

    Raises:
        ValueError: it is no such file.
    """
    graph = field_of(memoryview(Path(path).read_bytes()), GRAPH)
    inputs, outputs, constants = dict[str, tuple[list[Any], str]](), list[str](), set[str]()
    for number, value in fields(graph):
        if number == INITIALIZER:
            constants.add(text_of(field_of(value, TENSOR_NAME)))
        elif number == OUTPUT:
            outputs.append(text_of(field_of(value, VALUE_NAME)))
        elif number == INPUT:
            tensor = field_of(field_of(value, VALUE_TYPE), TENSOR_TYPE)
            kind = next((each for number, each in fields(tensor) if number == ELEMENT), 0)
            dimensions = [
                dimension_of(each)
                for number, each in fields(field_of(tensor, SHAPE))
                if number == DIMENSION
            ]
            name = text_of(field_of(value, VALUE_NAME))
            inputs[name] = dimensions, f"tensor({KINDS.get(kind, kind)})"
    return {name: inputs[name] for name in inputs if name not in constants}, outputs


def dimension_of(message: Any) -> int | str | None:
    """A dimension of a shape: a number, a name, or None if nothing is known."""
    for number, value in fields(message):
        if number == NUMBER:
            # some write 0 or -1 for what may be anything
            return value if isinstance(value, int) and 0 < value < 2**31 else None
        if number == LETTER:
            return text_of(value)
    return None


def text_of(value: Any) -> str:
    """A text. Raises ValueError."""
    return bytes(require_bytes(value)).decode()


def require_bytes(value: Any) -> memoryview:
    """The bytes of a field, unless it is a whole number. Raises ValueError."""
    if not isinstance(value, memoryview):
        raise ValueError("is no ONNX file")
    return value


def field_of(message: Any, wanted: int) -> memoryview:
    """The bytes of a field of a message; none if it lacks it. Raises ValueError."""
    found = (value for number, value in fields(message) if number == wanted)
    return require_bytes(next(found, memoryview(b"")))


def fields(message: Any) -> Iterator[tuple[int, Any]]:
    """The fields of a message of protocol buffers with their numbers: whole numbers, and bytes of
    all else. Raises ValueError.
    """
    message, position = require_bytes(message), 0
    while position < len(message):
        key, position = varint(message, position)
        if key & 7 == 0:
            value, position = varint(message, position)
            yield key >> 3, value
            continue
        length = {1: 8, 5: 4}.get(key & 7)
        if key & 7 == 2:
            length, position = varint(message, position)
        if length is None or position + length > len(message):
            raise ValueError("is no ONNX file")
        yield key >> 3, message[position : position + length]
        position += length


def varint(message: memoryview, position: int) -> tuple[int, int]:
    """The whole number at a position, and the position after it. Raises ValueError."""
    value = 0
    for index, byte in enumerate(message[position : position + 10]):
        value |= (byte & 127) << 7 * index
        if byte < 128:
            return value, position + index + 1
    raise ValueError("is no ONNX file")
