"""Small networks as ONNX files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto, helper

__all__ = ["mean_colours", "save_network", "text_network"]

# Rows of red, green and blue.
VALUES = (2, -1, -1, -1, 2, -1, -1, -1, 2)


def save_network(
    path: Path,
    nodes: Sequence[Any],
    inputs: Sequence[tuple[str, int, Sequence[Any]]],
    outputs: Sequence[tuple[str, Sequence[Any]]],
    constants: Sequence[Any] = (),
) -> Path:
    """Write a network of some nodes, with inputs (name, type, shape) and outputs (name, shape)."""
    graph = helper.make_graph(
        list(nodes),
        "network",
        [helper.make_tensor_value_info(*each) for each in inputs],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs],
        list(constants),
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, str(path))
    return path


def mean_colours(
    path: Path, layout: str = "NCHW", kind: int = TensorProto.FLOAT, side: Any = 32
) -> Path:
    """A network whose vector is the mean of each plane of its input."""
    shape = ["n", 3, side, side] if layout == "NCHW" else ["n", side, side, 3]
    axes = [2, 3] if layout == "NCHW" else [1, 2]
    nodes = [
        helper.make_node("Cast", ["pixels"], ["values"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["values"], ["embedding"], axes=axes, keepdims=0),
        helper.make_node("Neg", ["embedding"], ["other"]),
    ]
    return save_network(
        path, nodes, [("pixels", kind, shape)], [("other", ["n", 3]), ("embedding", ["n", 3])]
    )


def text_network(path: Path) -> Path:
    """A network that gives the rows of a table for the tokens 0..2 of a text: red, green, blue."""
    table = helper.make_tensor(
        "table", TensorProto.FLOAT, [3, 3], [2, -1, -1, -1, 2, -1, -1, -1, 2]
    )
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["rows"]),
        helper.make_node("ReduceMean", ["rows"], ["text_embeds"], axes=[1], keepdims=0),
        helper.make_node("Cast", ["attention_mask"], ["unused"], to=TensorProto.FLOAT),
    ]
    inputs = [(name, TensorProto.INT64, ["n", "t"]) for name in ("input_ids", "attention_mask")]
    return save_network(path, nodes, inputs, [("text_embeds", ["n", 3])], [table])
