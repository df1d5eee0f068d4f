"""An ONNX graph with its tables in 8 bits: blocks of 32 values with a scale each.

Only weights are rounded, and what opens the graph makes them floats again once, before it computes: it is as fast as
with 32 bits, and loses little. Operators that compute in 8 bits lose more, or are slow in a browser (see docs/LOG.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

BLOCK = 32
"""Values that share a scale."""
SMALLEST = 2048
"""Values of the smallest table that is worth it."""


def write_quantized(path: Path, into: Path) -> None:
    """The graph of `path`, its weights in one file, with each large table of floats in 8 bits."""
    import onnx
    from onnx import numpy_helper

    model = onnx.load(path)
    tensors, nodes = [], []
    for tensor in model.graph.initializer:
        table = numpy_helper.to_array(tensor)
        if table.dtype != np.float32 or table.size < SMALLEST:
            tensors.append(tensor)
            continue
        parts = _parts(tensor.name, table)
        tensors += [numpy_helper.from_array(value, name) for name, value in parts.items()]
        nodes += _restoring(tensor.name, *parts)
    for field, values in (("initializer", tensors), ("node", [*nodes, *model.graph.node])):
        model.graph.ClearField(field)
        getattr(model.graph, field).extend(values)
    onnx.save(model, into)


def in_blocks(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A table's values one after another, float32, as int8 (blocks, BLOCK) and their scales (blocks, 1), float32.

    A value is its int8 times the scale, off by half a scale at most; zeros fill the last block.
    """
    values = table.reshape(-1)
    padded = np.pad(values, (0, -len(values) % BLOCK)).reshape(-1, BLOCK)
    scales = np.abs(padded).max(-1, keepdims=True) / np.float32(127)
    steps = np.rint(padded / np.where(scales == 0, 1, scales))
    return steps.astype(np.int8), scales


def _parts(name: str, table: np.ndarray) -> dict[str, np.ndarray]:
    """What stands in the file for a table."""
    steps, scales = in_blocks(table)
    bounds = {f"{name}.start": np.array([0]), f"{name}.stop": np.array([table.size])}
    flat, shape = {f"{name}.flat": np.array([-1])}, {f"{name}.shape": np.array(table.shape)}
    return {f"{name}.steps": steps, f"{name}.scales": scales, **flat, **bounds, **shape}


def _restoring(name: str, steps: str, scales: str, flat: str, start: str, stop: str, shape: str) -> Iterator[Any]:
    """The nodes that make the table of its parts."""
    from onnx import TensorProto, helper

    yield helper.make_node("Cast", [steps], [f"{name}.cast"], to=TensorProto.FLOAT)
    yield helper.make_node("Mul", [f"{name}.cast", scales], [f"{name}.scaled"])
    yield helper.make_node("Reshape", [f"{name}.scaled", flat], [f"{name}.padded"])
    yield helper.make_node("Slice", [f"{name}.padded", start, stop], [f"{name}.values"])
    yield helper.make_node("Reshape", [f"{name}.values", shape], [name])
