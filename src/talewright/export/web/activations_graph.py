"""A second ONNX graph of the model, for the page's look inside: what every layer computes for the tokens so far.

It stores no weights: it reads them out of the file of the graph that generates, which the page already holds.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from talewright.config import ModelConfig
from talewright.export.onnx_graph import export_graph
from talewright.model.attention import attention_scores
from talewright.model.gpt import GPT, Attention, Block
from talewright.model.masks import AttentionMetadata

MIN_SHARED = 1024
"""Bytes of the smallest tensor that is read out of the other file."""
IN_BLOCK = ("attn.pattern", "attn_out", "mlp_out", "resid_post")


def output_names(config: ModelConfig) -> list[str]:
    """The graph's outputs, named and shaped as `talewright.inspect.record` has them, for one row of T tokens.

    `lens` is the logit lens (nostalgebraist 2020) at N positions, (L + 1, N, V): the logits that the last norm and the
    output layer make of the embedding, and of the stream after each layer. The last row is the model's own logits.
    """
    return ["lens", "blocks.0.resid_pre", *(f"blocks.{i}.{name}" for i in range(config.n_layers) for name in IN_BLOCK)]


class ActivationsModel(nn.Module):
    """The model's own forward pass, in a copy whose modules note what they compute."""

    def __init__(self, model: GPT) -> None:
        super().__init__()
        self.model, self.noted = copy.deepcopy(model), dict[str, Tensor]()
        for i, block in enumerate(cast(list[Block], self.model.blocks)):
            block.attention.attend = self._attend(block.attention, f"blocks.{i}.attn.pattern")
            for name, module in (("attn_out", block.attention), ("mlp_out", block.mlp), ("resid_post", block)):
                module.register_forward_hook(self._note(f"blocks.{i}.{name}"))

    def forward(self, input_ids: Tensor, positions: Tensor) -> tuple[Tensor, ...]:
        """The outputs of `output_names` for input_ids (1, T); positions (N,) are those of the logit lens."""
        model = self.model
        metadata = model.metadata(input_ids, padding_mask=torch.ones_like(input_ids))  # a mask for any T
        self.noted["blocks.0.resid_pre"] = model.first_input(input_ids, metadata)[0]
        last = model.hidden(input_ids, metadata=metadata)
        middle = (self.noted[f"blocks.{i}.resid_post"] for i in range(model.config.n_layers - 1))
        read = [*(model.norm(x[0, positions]) for x in (self.noted["blocks.0.resid_pre"], *middle)), last[0, positions]]
        self.noted["lens"] = model.logits(torch.stack(read))
        return tuple(self.noted.pop(name) for name in output_names(model.config))

    def _note(self, name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def hook(_: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> None:
            self.noted[name] = output

        return hook

    def _attend(self, attention: Attention, name: str) -> Callable[..., Tensor]:
        def attend(q: Tensor, k: Tensor, v: Tensor, metadata: AttentionMetadata) -> Tensor:
            mask, groups = metadata.masks[attention.window], attention.n_heads // attention.kv_heads
            pattern = attention_scores(q, k, mask, metadata.causal, attention.scale).softmax(-1)
            self.noted[name] = pattern
            return pattern @ v.repeat_interleave(groups, 1)

        return attend


def write_activations_graph(model: GPT, path: Path) -> None:
    """Write the graph with its weights, for any number of tokens and of positions."""
    tokens, positions = torch.export.Dim("sequence_length"), torch.export.Dim("positions_length")
    export_graph(
        ActivationsModel(model),
        (torch.zeros(1, 3).long(), torch.tensor([0, 2])),
        path,
        input_names=["input_ids", "positions"],
        output_names=output_names(model.config),
        dynamic_shapes=({1: tokens}, {0: positions}),
    )


def share_weights(path: Path, owner: Path) -> None:
    """Let the graph at `path` read every tensor that `owner`, a file in the same folder, holds too out of that file."""
    import onnx
    from onnx.external_data_helper import set_external_data

    model, whole = onnx.load(path), owner.read_bytes()
    for tensor in model.graph.initializer:
        size = len(tensor.raw_data)
        if size >= MIN_SHARED and (offset := whole.find(tensor.raw_data)) >= 0:
            set_external_data(tensor, owner.name, offset, size)
            tensor.ClearField("raw_data")
    onnx.save(model, path)
