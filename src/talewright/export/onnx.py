"""ONNX with cache inputs, laid out as transformers.js and Optimum open it: onnx/model.onnx beside a config.json."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from talewright.config import ModelConfig
from talewright.export.adapters import LlamaAdapter
from talewright.export.pretrained import write_config, write_tokenizer
from talewright.export.target import ExportSource, ExportTarget
from talewright.model.attention import Placement
from talewright.model.gpt import GPT

BOUNDS = {"f32": 1e-4}


class ONNX(ExportTarget):
    name = "onnx"
    extra = "onnx"
    packages = ("onnx", "onnxscript", "onnxruntime")
    bounds = BOUNDS
    reader = "onnx"

    def unsupported_reason(self, config: ModelConfig) -> str | None:
        return None

    def write(self, source: ExportSource, folder: Path, dtype: str) -> None:
        config = source.recipe.model
        # What reads the graph takes from config.json only the shape of its cache; a Llama's has heads of any number.
        llama = LlamaAdapter()
        settings = {"architectures": [llama.architecture], "model_type": llama.model_type, **llama.to_json(config)}
        write_config(folder, settings, config, source.tokenizer, dtype)
        write_tokenizer(folder, source.tokenizer, config.context_length)
        (folder / "onnx").mkdir()
        write_graph(source.model, folder / "onnx" / "model.onnx")

    def usage(self, place: str) -> str:
        return USAGE.format(place=place)


USAGE = """```js
import {{ pipeline }} from "@huggingface/transformers";

const tell = await pipeline("text-generation", "{place}", {{ dtype: "fp32" }});
console.log(await tell("Once upon a time", {{ max_new_tokens: 200, do_sample: true, temperature: 0.8 }}));
```
"""


class Cached(nn.Module):
    """The model as a graph has it: the keys and values of what was read before come in and go out as tensors."""

    def __init__(self, model: GPT) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor, position_ids: Tensor, past: list[Tensor]) -> Any:
        """Logits (B, T, V), then each layer's keys and values (B, n_kv_heads, P + T, head_dim).

        input_ids and position_ids are (B, T); attention_mask is (B, P + T), 0 at padding; past are the keys and values
        of P tokens, layer by layer.
        """
        model, kept = self.model, []
        x, place = model.embed_at(input_ids, _placement(model.windows, attention_mask, position_ids))
        for i, block in enumerate(model.blocks):
            store = _Store(past[2 * i], past[2 * i + 1])
            x = block(x, place, store)
            kept += [store.keys, store.values]
        return model.logits(model.norm(x)), *kept


class _Store:
    """One layer's keys and values, in the place of a `LayerCache`."""

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        self.keys, self.values = keys, values

    def append(self, k: Tensor, v: Tensor, positions: Tensor, stop: int) -> tuple[Tensor, Tensor]:
        self.keys, self.values = torch.cat((self.keys, k), 2), torch.cat((self.values, v), 2)
        return self.keys, self.values


def _placement(windows: set[int | None], real: Tensor, positions: Tensor) -> Placement:
    """Where tokens at `positions` (B, T) stand, the last of `real` (B, S), and what they see.

    A token at padding sees itself, so that its softmax, which nobody reads, has something to sum.
    """
    T, S = positions.shape[1], real.shape[1]
    keys = torch.arange(S, device=real.device)
    here = torch.arange(T, device=real.device)[:, None] + (S - T)  # (T, 1)
    masks: dict[int | None, Tensor | None] = {}
    for window in windows:
        seen = keys <= here if window is None else (keys <= here) & (keys > here - window)  # (T, S)
        masks[window] = (seen & (real[:, None] != 0) | (keys == here))[:, None]  # (B, 1, T, S)
    return Placement(positions, None, masks, causal=False, stop=S)


def write_graph(model: GPT, path: Path) -> None:
    """The model as an ONNX graph with its weights in one file, all its sizes of tokens and rows free."""
    config = model.config
    B, T, P = 2, 3, 4  # any sizes: the graph keeps none of them
    layers = [f"{i}.{kind}" for i in range(config.n_layers) for kind in ("key", "value")]
    past = [torch.zeros(B, config.kv_heads, P, config.head_dim) for _ in layers]
    ids, mask, positions = torch.zeros(B, T).long(), torch.ones(B, P + T).long(), torch.zeros(B, T).long()
    batch, new, before, whole = (torch.export.Dim(name) for name in ("batch", "new", "past", "total"))
    with _quiet():
        torch.onnx.export(
            Cached(model).eval(),
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
    _forget_origin(path)


def _forget_origin(path: Path) -> None:
    """Take out what the exporter notes at each node: lines of code and the folders that they are in here."""
    import onnx

    model = onnx.load(path)
    for noted in (model, model.graph, *model.graph.node, *model.graph.value_info, *model.graph.initializer):
        noted.ClearField("metadata_props")
        noted.ClearField("doc_string")
    onnx.save(model, path)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's words about its own affairs."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
