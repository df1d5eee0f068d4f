"""The model as an ONNX graph with cache inputs."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from talewright.model.gpt import GPT
from talewright.model.kv_cache import KVCache, LayerCache


class GraphModel(nn.Module):
    """The model as the graph has it: cached keys and values come in and go out as tensors."""

    def __init__(self, model: GPT) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor, position_ids: Tensor, past: list[Tensor]) -> Any:
        """Logits (B, T, V), then each layer's keys and values (B, n_kv_heads, P + T, head_dim).

        input_ids and position_ids are (B, T); attention_mask is (B, P + T), 0 at padding; past are the keys and values
        of P tokens, layer by layer.
        """
        layers = [GraphLayerCache(*pair) for pair in zip(past[::2], past[1::2], strict=True)]
        length = attention_mask.shape[1] - input_ids.shape[1]
        cache = KVCache(layers, input_ids.new_full(input_ids.shape[:1], length), length)
        metadata = self.model.metadata(input_ids, cache, attention_mask, position_ids)
        logits = self.model.logits(self.model.hidden(input_ids, cache, metadata))
        return logits, *(tensor for layer in layers for tensor in (layer.keys, layer.values))


class GraphLayerCache(LayerCache):
    """One layer's keys and values; appending makes new tensors, as a graph needs."""

    def append(self, k: Tensor, v: Tensor, positions: Tensor, stop: int) -> tuple[Tensor, Tensor]:
        self.keys, self.values = torch.cat((self.keys, k), 2), torch.cat((self.values, v), 2)
        return self.keys, self.values


def write_graph(model: GPT, path: Path) -> None:
    """Write the model as an ONNX graph with its weights in one file, for any number of tokens and rows."""
    config = model.config
    B, T, P = 2, 3, 4  # example sizes: the graph keeps none of them
    layers = [f"{i}.{kind}" for i in range(config.n_layers) for kind in ("key", "value")]
    past = [torch.zeros(B, config.kv_heads, P, config.head_dim) for _ in layers]
    ids, mask, positions = torch.zeros(B, T).long(), torch.ones(B, P + T).long(), torch.zeros(B, T).long()
    # transformers.js makes the first cache by these names
    names = ("batch_size", "sequence_length", "past_sequence_length", "total_sequence_length")
    batch, new, before, whole = map(torch.export.Dim, names)
    with _silenced():
        torch.onnx.export(
            GraphModel(model).eval(),
            (ids, mask, positions, past),
            path,
            input_names=["input_ids", "attention_mask", "position_ids", *(f"past_key_values.{n}" for n in layers)],
            output_names=["logits", *(f"present.{name}" for name in layers)],
            dynamic_shapes=(
                {0: batch, 1: new},
                {0: batch, 1: whole},
                {0: batch, 1: new},
                [{0: batch, 2: before} for _ in layers],
            ),
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    _remove_origin(path)


def _remove_origin(path: Path) -> None:
    """Remove what the exporter notes at each node: lines of code, and the folders of this machine that they are in."""
    import onnx

    model = onnx.load(path)
    for part in (model, model.graph, *model.graph.node, *model.graph.value_info, *model.graph.initializer):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    onnx.save(model, path)


@contextmanager
def _silenced() -> Iterator[None]:
    """Without the exporter's warnings about itself."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
