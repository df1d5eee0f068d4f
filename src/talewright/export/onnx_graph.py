"""The model as an ONNX graph with cache inputs."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from talewright.config.model import REACH
from talewright.model.gpt import GPT
from talewright.model.kv_cache import KVCache, LayerCache


class GraphModel(nn.Module):
    """The model as the graph has it: cached keys and values come in and go out as tensors."""

    def __init__(self, model: GPT) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor, position_ids: Tensor, past: list[Tensor]) -> Any:
        """Logits (B, T, V), then what each layer's cache keeps: keys and values (B, n_kv_heads, P + T, head_dim), and
        the inputs of short convolutions (B, 1, P + T, W); last the ids of a bigram embedding (B, 1, P + T, 1).

        input_ids and position_ids are (B, T); attention_mask is (B, P + T), 0 at padding; past are the caches of P
        tokens, layer by layer.
        """
        size = len(past) // self.model.config.n_layers
        layers = [GraphLayerCache(*past[i : i + size]) for i in range(0, len(past), size)]
        length = attention_mask.shape[1] - input_ids.shape[1]
        cache = KVCache(layers, input_ids.new_full(input_ids.shape[:1], length), length)
        metadata = self.model.metadata(input_ids, cache, attention_mask, position_ids)
        logits = self.model.logits(self.model.hidden(input_ids, cache, metadata))
        return logits, *(tensor for layer in layers for tensor in layer.kept)


class GraphLayerCache(LayerCache):
    """One layer's cache; storing makes new tensors, as a graph needs."""

    def extend(self, number: int, x: Tensor, positions: Tensor, stop: int) -> Tensor:
        stored = F.pad(self._store(number, x[:, None], positions, stop)[:, 0], (0, 0, REACH, 0))
        return stored[:, stored.shape[1] - x.shape[1] - REACH :]

    def _store(self, number: int, x: Tensor, positions: Tensor, stop: int) -> Tensor:
        joined = torch.cat((self.kept[number], x), 2)
        self.kept = (*self.kept[:number], joined, *self.kept[number + 1 :])
        return joined


def write_graph(model: GPT, path: Path) -> None:
    """Write the model as an ONNX graph with its weights in one file, for any number of tokens and rows."""
    config = model.config
    B, T, P = 2, 3, 4  # example sizes: the graph keeps none of them
    sizes = {"key": (config.kv_heads, config.head_dim), "value": (config.kv_heads, config.head_dim)}
    sizes |= {f"input{site}": (1, width) for site, width in enumerate(config.convolution_widths)}
    layers = [f"{i}.{kind}" for i in range(config.n_layers) for kind in sizes]
    past = [torch.zeros(B, heads, P, width) for _ in range(config.n_layers) for heads, width in sizes.values()]
    if config.bigrams:
        layers.append("ids")
        past.append(torch.zeros(B, 1, P, 1))
    ids, mask, positions = torch.zeros(B, T).long(), torch.ones(B, P + T).long(), torch.zeros(B, T).long()
    # transformers.js makes the first cache by these names
    names = ("batch_size", "sequence_length", "past_sequence_length", "total_sequence_length")
    batch, new, before, whole = map(torch.export.Dim, names)
    export_graph(
        GraphModel(model),
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
    )


def export_graph(module: nn.Module, inputs: tuple[Any, ...], path: Path, **options: Any) -> None:
    """Write what the module computes for such inputs, its weights in the same file; options as in torch.onnx.export."""
    with _silenced():
        torch.onnx.export(module.eval(), inputs, path, dynamo=True, external_data=False, verbose=False, **options)
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
