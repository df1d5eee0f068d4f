"""How much each part pushed the score of the word that came: direct logit attribution.

The last norm reads the sum of what the embedding and every part wrote. With its scale held at the value that it has
there, the norm and the output layer are linear, so the logit of a word is a sum too, with one term for each part
(Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits"; Wang et al. 2022, arXiv:2211.00593). A logit
alone says nothing, as adding to all of them changes nothing, so each is taken minus the mean over the vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from talewright.inspect.circuits.graph import EMBEDDING, check_pre_norm, record_sources
from talewright.inspect.parts import all_parts
from talewright.inspect.sequences import display_token
from talewright.model.gpt import GPT, Block
from talewright.model.norm import LayerNorm
from talewright.tokenizer import Tokenizer


@dataclass(frozen=True, kw_only=True)
class Pushes:
    """What each part added to the score of each word of a story."""

    targets: np.ndarray
    """(T,): the tokens that came."""
    names: list[str]
    """The embedding, every part, and, where the model has them, the biases."""
    values: np.ndarray
    """(T, names): in nats; each row sums to the score."""
    scores: np.ndarray
    """(T,): the logit of the token that came, minus the mean logit of the vocabulary."""


@torch.no_grad()
def word_pushes(model: GPT, tokens: np.ndarray) -> Pushes:
    """The pushes on a sequence of T + 1 tokens, whose first one is only read. Short convolutions and mixed values
    change what the parts read, not how their outputs add up, so they need nothing special.

    Raises UserError for a post-norm model.
    """
    check_pre_norm(model.config)
    device = model.output_weight.device
    recorded = record_sources(model, torch.from_numpy(tokens[None, :-1]).to(device))
    targets = torch.from_numpy(tokens[1:]).to(device)
    outputs, stream = recorded.outputs[:, 0], recorded.streams[-1][0]  # (U, T, D), (T, D)
    names = [EMBEDDING, *(part.name for part in all_parts(model.config))]
    written = [outputs]
    biases = [cast(Block, block).attention.out.bias for block in model.blocks]
    if biases[0] is not None:
        written.append(torch.stack(cast(list[Tensor], biases)).sum(0).expand_as(stream)[None])
        names.append("attention bias")
    direction = model.output_weight[targets] - model.output_weight.mean(0)  # (T, D)
    values = [(_normalized(model, each, stream) * direction).sum(-1) for each in torch.cat(written)]
    if isinstance(model.norm, LayerNorm):
        values.append((model.norm.bias * direction).sum(-1))
        names.append("bias of the last norm")
    logits = model.logits(model.norm(stream))
    scores = logits.gather(-1, targets[:, None])[:, 0] - logits.mean(-1)
    table = torch.stack(values, -1)
    return Pushes(
        targets=tokens[1:], names=names, values=table.float().cpu().numpy(), scores=scores.float().cpu().numpy()
    )


def _normalized(model: GPT, written: Tensor, stream: Tensor) -> Tensor:
    """A part's share of the last norm's output, without its bias: (T, D)."""
    norm = model.norm
    if isinstance(norm, LayerNorm):
        scale = torch.rsqrt(stream.var(-1, correction=0, keepdim=True) + norm.eps)
        return (written - written.mean(-1, keepdim=True)) * scale * norm.weight
    scale = torch.rsqrt(stream.float().square().mean(-1, keepdim=True) + cast(Any, norm).eps)
    return written * scale * cast(Tensor, norm.weight)


def part_label(name: str) -> str:
    """The name of a row: heads are called so."""
    return f"head {name}" if name[:1].isdigit() else name


def strongest(pushes: Pushes, position: int) -> tuple[tuple[str, float], tuple[str, float]]:
    """The part that pushed the word at this position most, and the one that held it back most (or pushed least)."""
    row = pushes.values[position]
    high, low = int(row.argmax()), int(row.argmin())
    return (part_label(pushes.names[high]), float(row[high])), (part_label(pushes.names[low]), float(row[low]))


def pushes_json(pushes: Pushes, tokenizer: Tokenizer) -> dict[str, Any]:
    """The pushes as plain values, rounded to a thousandth."""
    return {
        "parts": [part_label(name) for name in pushes.names],
        "words": [
            {
                "token": display_token(tokenizer, int(token)),
                "score": round(float(score), 3),
                "pushes": np.round(values.astype(float), 3).tolist(),
            }
            for token, score, values in zip(pushes.targets, pushes.scores, pushes.values, strict=True)
        ],
    }
