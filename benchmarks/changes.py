"""The ideas of `ideas.py`: settings, and changes of our classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from benchmarks.optimizer_changes import (
    cautious_decay,
    ema_nesterov,
    hyperball,
    muon_squared,
    newton_schulz_steps,
    normuon,
    power_decay,
)
from benchmarks.story_changes import finish_on_v2, new_epochs, training_tokens
from torch import Tensor, nn

from talewright.config import Recipe
from talewright.model import gpt, loss
from talewright.train import objective
from talewright.train.trainer import Trainer


class Idea(NamedTuple):
    """What is different from the base: settings, and a change of classes before the model is built."""

    about: str
    settings: Mapping[str, str] = {}
    change: Callable[[Recipe], None] | None = None


def previous(x: Tensor, by: int = 1, dim: int = 1) -> Tensor:
    """x one position later in dimension `dim`, beginning with zeros."""
    padding = [0, 0] * (x.dim() - dim - 1) + [by, 0]
    return F.pad(x, padding).narrow(dim, 0, x.shape[dim])


def key_shift(recipe: Recipe) -> None:
    """A quarter of each head's key is that of the position before (RWKV's token shift, on keys alone)."""
    plain = gpt.Attention.project

    def project(self: Any, x: Tensor, metadata: Any) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = plain(self, x, metadata)
        quarter = k.shape[-1] // 4
        return q, torch.cat((previous(k, dim=2)[..., :quarter], k[..., quarter:]), -1), v

    gpt.Attention.project = project


def smear(recipe: Recipe) -> None:
    """The embedding of the position before is added, by a gate that reads the first 12 channels (modded-nanogpt)."""
    init, embed = gpt.GPT.__init__, gpt.GPT.embed

    def build(self: Any, config: Any) -> None:
        init(self, config)
        self.smear_gate = nn.Parameter(torch.zeros(1, 12))
        self.smear_scale = nn.Parameter(torch.zeros(1))

    def embed_smeared(self: Any, tokens: Tensor, metadata: Any, cache: Any = None) -> Tensor:
        x = embed(self, tokens, metadata, cache)
        gate = self.smear_scale * torch.sigmoid(x[..., :12] @ self.smear_gate.T)
        return x + gate * previous(x)

    gpt.GPT.__init__, gpt.GPT.embed = build, embed_smeared


def parallel_block(recipe: Recipe) -> None:
    """GPT-J and Cohere: attention and the feed-forward layer read the same normalized input."""

    def forward(self: Any, x: Tensor, metadata: Any, cache: Any = None) -> Tensor:
        h = self.norm1(x)
        return x + self.attention(h, metadata, cache) + self.mlp(h, metadata, cache)

    gpt.Block.forward = forward


def svd_embedding(recipe: Recipe) -> None:
    """The embedding begins as the singular vectors of which tokens stand beside which (positive pointwise mutual
    information within two positions), as wide as N(0, 0.02).
    """
    init = gpt.GPT.init_weights

    def begin(self: Any) -> None:
        init(self)
        tokens, V = training_tokens(recipe), recipe.model.vocab_size
        counts = np.zeros((V, V))
        for distance, weight in ((1, 1.0), (2, 0.5)):
            np.add.at(counts, (tokens[:-distance], tokens[distance:]), weight)
        counts += counts.T
        total = counts.sum()
        p = counts.sum(0, keepdims=True) + 1
        information = np.log(np.maximum(counts * total / (p * p.T), 1e-9))
        u, s, _ = torch.svd_lowrank(torch.tensor(np.maximum(information, 0), dtype=torch.float32), self.config.d_model)
        vectors = u * s.sqrt()
        turned = vectors @ torch.linalg.qr(torch.randn(vectors.shape[1], vectors.shape[1]))[0]
        with torch.no_grad():
            self.embedding.weight.copy_(turned * (self.config.init_std / turned.std()))

    gpt.GPT.init_weights = begin


def bigram_table(least: int = 4, rate: float = 1.0) -> Callable[[Recipe], None]:
    """A vector for each pair of tokens that comes at least four times, added to the embedding; only the rows of a batch
    are updated, each with one second moment (as modded-nanogpt's pull request 366).
    """

    def change(recipe: Recipe) -> None:
        init, embed, step = gpt.GPT.__init__, gpt.GPT.embed, Trainer._step

        def build(self: Any, config: Any) -> None:
            tokens, V = training_tokens(recipe), config.vocab_size
            pairs, counts = np.unique(tokens[:-1] * V + tokens[1:], return_counts=True)
            init(self, config)
            self.keys = torch.tensor(pairs[counts >= least])
            self.rows = torch.zeros(len(self.keys) + 1, config.d_model)
            self.moments = torch.zeros(len(self.keys) + 1)
            self.used = []

        def embed_pairs(self: Any, tokens: Tensor, metadata: Any, cache: Any = None) -> Tensor:
            x = embed(self, tokens, metadata, cache)
            pairs = F.pad(tokens, (1, 0))[:, :-1] * self.config.vocab_size + tokens
            if self.rows.device != tokens.device:
                with torch.inference_mode(False):  # they are also changed outside
                    tables = (self.keys, self.rows, self.moments)
                    self.keys, self.rows, self.moments = (table.to(tokens.device) for table in tables)
            found = torch.searchsorted(self.keys, pairs).clamp(max=len(self.keys) - 1)
            numbers = torch.where(self.keys[found] == pairs, found, len(self.keys))
            vectors = self.rows[numbers]
            if self.training and torch.is_grad_enabled():
                vectors.requires_grad_()
                self.used.append((numbers, vectors))
            return x + vectors

        def step_rows(self: Any, made: Tensor) -> None:
            model, lr = self.model, self.optimizer.param_groups[0]["lr"] * rate
            for numbers, vectors in model.used:
                rows, place = numbers.flatten().unique(return_inverse=True)
                gradient = vectors.new_zeros(len(rows), vectors.shape[-1])
                gradient.index_add_(0, place, vectors.grad.flatten(0, 1))
                gradient[rows == len(model.keys)] = 0
                model.moments[rows] += gradient.square().mean(1)
                model.rows[rows] -= lr * gradient / (model.moments[rows].sqrt()[:, None] + 1e-10)
            model.used = []
            step(self, made)

        gpt.GPT.__init__, gpt.GPT.embed, Trainer._step = build, embed_pairs, step_rows

    return change


def sampled_softmax(frequent: int = 1024, drawn: int = 256, until: float = 0.85) -> Callable[[Recipe], None]:
    """Until 85 % of the steps, a softmax over the most frequent tokens, those of the batch and some drawn ones, with
    the logarithm of how probable it was that each is among them subtracted (Bengio & Senecal 2008; Jean et al. 2015).
    """

    def change(recipe: Recipe) -> None:
        V = recipe.model.vocab_size
        share = torch.tensor(np.bincount(training_tokens(recipe), minlength=V) / len(training_tokens(recipe)))
        top = share.argsort(descending=True)[:frequent]
        done = [0]
        plain, least = objective.cross_entropy, drawn / (V - frequent)
        steps = recipe.train.max_steps or 1

        def sampled(
            hidden: Tensor, weight: Tensor, targets: Tensor, adjustment: Any = None, real: Any = None
        ) -> Tensor:
            if torch.is_grad_enabled():
                done[0] += 1
            if done[0] > until * steps * recipe.train.accumulation or not torch.is_grad_enabled():
                return plain(hidden, weight, targets, adjustment, real)
            hidden, targets = loss.without_padding(targets, hidden, targets, real=real)
            hidden = hidden.to(loss.product_dtype(hidden))
            chosen = torch.zeros(V, dtype=torch.bool)
            chosen[top], chosen[targets] = True, True
            chosen |= torch.rand(V) < least
            ids = chosen.nonzero()[:, 0]
            probability = 1 - (1 - share[ids]) ** len(targets) * (1 - least)
            probability[torch.isin(ids, top)] = 1
            place = torch.zeros(V, dtype=torch.long)
            place[ids] = torch.arange(len(ids))
            with torch.autocast("cpu", enabled=False):
                return _Sampled.apply(hidden, weight, ids, place[targets], -probability.log().to(hidden.dtype))

        objective.cross_entropy = sampled

    return change


class _Sampled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, ids: Tensor, targets: Tensor, bias: Tensor) -> Tensor:
        w = weight[ids].to(hidden.dtype)
        part, d_logits = loss.softmax_gradient(F.linear(hidden, w, bias), targets)
        d_weight = torch.zeros_like(weight)
        d_weight[ids] = (d_logits.mT @ hidden).float()
        ctx.save_for_backward(d_logits @ w, d_weight)
        return part

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> Any:
        d_hidden, d_weight = ctx.saved_tensors
        return d_hidden * upstream[0], d_weight * upstream[0], None, None, None


def residual_scalars(recipe: Recipe) -> None:
    """Each block but the first reads x + b * x0, x0 being the embedding (nanochat), b from 0."""
    init = gpt.GPT.__init__

    def build(self: Any, config: Any) -> None:
        init(self, config)
        self.scalars = nn.Parameter(torch.zeros(config.n_layers))

    def forward(self: Any, tokens: Tensor, cache: Any = None, metadata: Any = None, run: Any = None) -> Tensor:
        x, metadata = self.first_input(tokens, metadata or self.metadata(tokens, cache))
        x0 = x
        for i, block in enumerate(self.blocks):
            x = (run or gpt.Block.__call__)(block, x + self.scalars[i] * x0 if i else x, metadata, None)
        return self.norm(x)

    gpt.GPT.__init__, gpt.GPT.hidden = build, forward


def attention_gate(recipe: Recipe) -> None:
    """Each head's output times a sigmoid of the first 12 channels (modded-nanogpt; Qiu et al. 2025)."""
    init = gpt.Attention.__init__

    def build(self: Any, config: Any, layer: int) -> None:
        init(self, config, layer)
        self.gate = nn.Parameter(torch.zeros(config.n_heads, 12))

    def forward(self: Any, x: Tensor, metadata: Any, cache: Any = None) -> Tensor:
        q, k, v = self.project(x, metadata)
        z = self.attend(q, k, v, metadata).transpose(1, 2)  # (B, T, H, d)
        return self.out((z * (2 * torch.sigmoid(x[..., :12] @ self.gate.T)).type_as(z)[..., None]).flatten(2))

    gpt.Attention.__init__, gpt.Attention.forward = build, forward


def scaled_residual_scalars(scale: float = 0.1) -> Callable[[Recipe], None]:
    """`residual_scalars` whose rate is smaller by so much: what is learned is multiplied by it."""

    def change(recipe: Recipe) -> None:
        residual_scalars(recipe)
        init = gpt.GPT.__init__

        def build(self: Any, config: Any) -> None:
            init(self, config)
            torch.nn.utils.parametrize.register_parametrization(self, "scalars", Scaled(scale))

        gpt.GPT.__init__ = build

    return change


class Scaled(nn.Module):
    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale


def value_embeddings(layers: Sequence[int] = (0, -1)) -> Callable[[Recipe], None]:
    """In the first and the last layer, a second embedding of each token is added to the values, by a gate for each head
    that reads the first 12 channels (modded-nanogpt, nanochat).
    """

    def change(recipe: Recipe) -> None:
        init, project, metadata_of = gpt.Attention.__init__, gpt.Attention.project, gpt.GPT.metadata
        chosen = {layer % recipe.model.n_layers for layer in layers}
        now: list[Tensor] = []

        def build(self: Any, config: Any, layer: int) -> None:
            init(self, config, layer)
            self.value_table = self.value_gate = None
            if layer in chosen:
                self.value_table = nn.Embedding(config.vocab_size, self.kv_heads * self.head_dim)
                self.value_gate = nn.Parameter(torch.zeros(self.kv_heads, 12))

        def remember(
            self: Any, tokens: Tensor, cache: Any = None, padding_mask: Any = None, positions: Any = None
        ) -> Any:
            now[:] = [tokens]
            return metadata_of(self, tokens, cache, padding_mask, positions)

        def add(self: Any, x: Tensor, metadata: Any) -> tuple[Tensor, Tensor, Tensor]:
            q, k, v = project(self, x, metadata)
            if self.value_table is not None:
                gate = 2 * torch.sigmoid(x[..., :12] @ self.value_gate.T)  # (B, T, K)
                extra = self.value_table(now[0]).unflatten(-1, (self.kv_heads, -1))
                v = v + (gate[..., None] * extra).transpose(1, 2).type_as(v)
            return q, k, v

        gpt.Attention.__init__, gpt.Attention.project, gpt.GPT.metadata = build, add, remember

    return change


def zero_projections(recipe: Recipe) -> None:
    """The matrices that write to the residual stream begin at 0 (modded-nanogpt, record 5)."""
    init = gpt.GPT.init_weights

    def begin(self: Any) -> None:
        init(self)
        for block in self.blocks:
            nn.init.zeros_(block.attention.out.weight)
            nn.init.zeros_(block.mlp.down.weight)

    gpt.GPT.init_weights = begin


def late_dropout(rate: float = 0.1, begin: float = 0.5) -> Callable[[Recipe], None]:
    """Dropout of the residual branches, from half of the steps on (Liu et al. 2023, arXiv:2303.01500)."""

    def change(recipe: Recipe) -> None:
        launch, steps = Trainer._launch, recipe.train.max_steps or 1

        def switched(self: Any, started: float, interruptible: Any, signal: int | None) -> None:
            if self.step >= begin * steps:
                for block in self.model.blocks:
                    block.dropout = rate
            launch(self, started, interruptible, signal)

        Trainer._launch = switched

    return change


IDEAS = {
    "base": Idea("the recipe as it is"),
    "key-shift": Idea("a quarter of each key from the position before", change=key_shift),
    "convolution": Idea("short convolutions", {"model.short_convolution": "true"}),
    "residual-convolution": Idea(
        "with values mixed", {"model.short_convolution": "true", "model.value_residual": "true"}
    ),
    "value-embeddings": Idea("a second embedding added to the values", change=value_embeddings()),
    "zero-projections": Idea("projections to the residual stream begin at 0", change=zero_projections),
    "late-dropout": Idea("dropout 0.1 in the second half", change=late_dropout()),
    "dropout": Idea("dropout 0.1", {"model.dropout": "0.1"}),
    "new-cuts": Idea("stories in a new order each epoch", change=new_epochs(cuts=True, names=False)),
    "new-names": Idea("other names each epoch", change=new_epochs(cuts=False, names=True)),
    "new-cuts-names": Idea("both", change=new_epochs(cuts=True, names=True)),
    "cautious-decay": Idea("weight decay only along the update", change=cautious_decay),
    "cautious-decay-x4": Idea("the same, four times as large", {"optimizer.weight_decay": "0.4"}, cautious_decay),
    "residual-scalars-slow": Idea("with a tenth of the rate", change=scaled_residual_scalars()),
    "smear": Idea("the embedding before added, gated", change=smear),
    "value-residual": Idea("values mixed with the first layer's", {"model.value_residual": "true"}),
    "residual-scalars": Idea("the embedding added before each block", change=residual_scalars),
    "attention-gate": Idea("a gate for each head", change=attention_gate),
    "bigram-table": Idea("a vector for each frequent pair of tokens", {"model.bigrams": "0"}, bigram_table()),
    "bigrams-0": Idea("no vectors for pairs of tokens", {"model.bigrams": "0"}),
    "bigrams-32k": Idea("a table of vectors for hashed pairs of tokens", {"model.bigrams": "32768"}),
    "bigrams-64k": Idea("twice the rows", {"model.bigrams": "65536"}),
    "ema-nesterov": Idea("gradients further along the average change", change=ema_nesterov()),
    "hyperball": Idea("projections keep their norm and turn by an angle", change=hyperball()),
    "hyperball-slow": Idea("by a smaller angle", change=hyperball(0.012)),
    "hyperball-fast": Idea("by a larger angle", change=hyperball(0.03)),
    "muon-squared": Idea("gradients divided by their running size first", change=muon_squared),
    "root-decay": Idea("the learning rate falls as a root", change=power_decay(0.5)),
    "beta2-0.99": Idea("AdamW's second moments remember longer", {"optimizer.betas": "[0.9, 0.99]"}),
    "beta2-0.995": Idea("longer still", {"optimizer.betas": "[0.9, 0.995]"}),
    "beta2-0.999": Idea("longer still", {"optimizer.betas": "[0.9, 0.999]"}),
    "betas-0.8-0.99": Idea("and first moments shorter", {"optimizer.betas": "[0.8, 0.99]"}),
    "svd-embedding": Idea("the embedding begins as singular vectors of cooccurrence", change=svd_embedding),
    "sampled-softmax": Idea("a sampled softmax for 85 % of the steps", change=sampled_softmax()),
    "parallel": Idea("attention and feed-forward side by side", change=parallel_block),
    "muon-3": Idea("three Newton-Schulz steps in place of five", change=newton_schulz_steps(3)),
    "normuon": Idea("NorMuon", change=normuon),
    "finish-v2": Idea("the last third of the steps on stories of the second version", change=finish_on_v2),
    "heads-32": Idea("heads of 32 in place of 64", {"model.n_heads": "4"}),
    "vocabulary-8000": Idea("8,000 tokens in place of 4,096", {"model.vocab_size": "8000"}),
    "vocabulary-8000-sampled": Idea("with the softmax sampled", {"model.vocab_size": "8000"}, sampled_softmax()),
    "context-256": Idea("windows of 256", {"model.context_length": "256", "train.micro_batch": "8"}),
    "decay-x4": Idea("weight decay four times as large", {"optimizer.weight_decay": "0.4"}),
    "decay-x16": Idea("sixteen times", {"optimizer.weight_decay": "1.6"}),
    "embedding-rate-x1.5": Idea("AdamW's rate 1.5 times as large", {"train.learning_rate": "0.036"}),
    "embedding-rate-x0.67": Idea("two thirds as large", {"train.learning_rate": "0.016"}),
    "matrix-rate-x1.5": Idea("Muon's rate 1.5 times as large", {"optimizer.matrix_learning_rate": "0.006"}),
    "matrix-rate-x0.67": Idea("two thirds as large", {"optimizer.matrix_learning_rate": "0.0027"}),
    "momentum-0.9": Idea("Muon's momentum", {"optimizer.momentum": "0.9"}),
    "layers-4": Idea("four layers", {"model.n_layers": "4"}),
    "untied": Idea("an output layer of its own", {"model.tied": "false"}),
}
