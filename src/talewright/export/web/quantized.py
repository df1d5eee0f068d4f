"""Quantize the weights of an ONNX graph to 8 bits, in blocks of 32 values with one scale each.

Only storage is quantized: onnxruntime converts the weights back to float32 once, when it opens the graph. So it is as
fast as in 32 bits and loses little. Operators that compute in 8 bits lose more, or are slow in a browser (see
docs/LOG.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

BLOCK = 32
"""Values that share a scale."""
MIN_SIZE = 2048
"""Values of the smallest tensor to quantize."""


def write_quantized(source: Path, target: Path) -> None:
    """Write the graph, its weights in one file, with each large float tensor in 8 bits."""
    import onnx
    from onnx import numpy_helper

    model = onnx.load(source)
    tensors, nodes = [], []
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < MIN_SIZE:
            tensors.append(tensor)
            continue
        parts = _stored_parts(tensor.name, values)
        tensors += [numpy_helper.from_array(part, name) for name, part in parts.items()]
        nodes += _dequantize_nodes(tensor.name, *parts)
    for field, items in (("initializer", tensors), ("node", [*nodes, *model.graph.node])):
        model.graph.ClearField(field)
        getattr(model.graph, field).extend(items)
    onnx.save(model, target)


def quantize(tensor: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The flattened float32 values as int8 (blocks, BLOCK) and their scales (blocks, 1), float32.

    A value is its int8 times the scale, off by at most half a scale; zeros fill the last block.
    """
    values = tensor.reshape(-1)
    padded = np.pad(values, (0, -len(values) % BLOCK)).reshape(-1, BLOCK)
    scales = np.abs(padded).max(-1, keepdims=True) / np.float32(127)
    steps = np.rint(padded / np.where(scales == 0, 1, scales))
    return steps.astype(np.int8), scales


def _stored_parts(name: str, tensor: np.ndarray) -> dict[str, np.ndarray]:
    """What the file stores for a tensor."""
    steps, scales = quantize(tensor)
    bounds = {f"{name}.start": np.array([0]), f"{name}.stop": np.array([tensor.size])}
    flat, shape = {f"{name}.flat": np.array([-1])}, {f"{name}.shape": np.array(tensor.shape)}
    return {f"{name}.steps": steps, f"{name}.scales": scales, **flat, **bounds, **shape}


def _dequantize_nodes(
    name: str, steps: str, scales: str, flat: str, start: str, stop: str, shape: str
) -> Iterator[Any]:
    """The nodes that compute the tensor from its stored parts."""
    from onnx import TensorProto, helper

    yield helper.make_node("Cast", [steps], [f"{name}.cast"], to=TensorProto.FLOAT)
    yield helper.make_node("Mul", [f"{name}.cast", scales], [f"{name}.scaled"])
    yield helper.make_node("Reshape", [f"{name}.scaled", flat], [f"{name}.padded"])
    yield helper.make_node("Slice", [f"{name}.padded", start, stop], [f"{name}.values"])
    yield helper.make_node("Reshape", [f"{name}.values", shape], [name])
