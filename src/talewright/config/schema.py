"""What a recipe is made of: the dataclasses, and what is wrong with their values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

HUB_TINYSTORIES = "hub:roneneldan/TinyStories"
EOT = "<|endoftext|>"
BUDGETS = ("train.max_steps", "train.max_epochs", "train.max_tokens", "train.max_minutes")
PROMPTS = ("Once upon a time", "One day, a small dog found a", "The little rabbit was very hungry")


@dataclass(frozen=True, kw_only=True)
class TokenizerConfig:
    kind: Literal["bpe", "gpt2", "gpt2-top", "saved"] = "bpe"
    """bpe: byte-level BPE trained on the training stories. gpt2: GPT-2's own. gpt2-top: its most frequent here. saved:
    the one in the folder `source`."""
    source: str = "openai-community/gpt2"
    """Where GPT-2's files are: a name on the hub, or a folder with vocab.json and merges.txt. With kind saved: a folder
    with a tokenizer.json, such as a run's tokenizer/."""

    def problems(self) -> Iterator[str]:
        return iter(())


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    source: str = HUB_TINYSTORIES
    """`bundled`, `hub:OWNER/NAME`, or file, folder or glob of .txt, .jsonl, .json, .csv, .parquet (also .gz, .zst)."""
    valid: str | None = None
    """A source of its own for the validation stories."""
    test: str | None = None
    """A source of its own for the test stories."""
    splits: tuple[float, ...] | None = None
    """Shares of train, validation and test, by a hash of each story. Unset: the source's own splits, else 95/5."""
    limit: int | None = None
    """Read at most this many stories of the source."""
    valid_limit: int | None = None
    """Read at most this many stories of the validation source."""
    text_key: str = "text"
    """The column or key that holds the story, in .jsonl, .json, .csv, .parquet and on the hub."""
    separator: str = EOT
    """The line that ends a story in a .txt file."""
    min_chars: int = 20
    """Shorter stories are counted and left out."""
    layout: Literal["packed", "aligned", "rows"] = "packed"
    """packed: stories in one stream, cut into windows. aligned: windows that each begin with a story; what one cuts
    begins the next. rows: one story a row, padded."""
    sequence_length: int | None = None
    """Tokens in a training window or row. Unset: the model's context length."""
    stride: int | None = None
    """Tokens between the starts of two windows. Unset: the window's length."""

    def problems(self) -> Iterator[str]:
        if self.splits is not None and (
            len(self.splits) not in (2, 3) or min(self.splits) < 0 or self.splits[0] <= 0 or sum(self.splits) <= 0
        ):
            yield f"data.splits is {list(self.splits)}; it holds two or three shares, such as [95, 5] or [70, 20, 10]"
        for name in ("limit", "valid_limit", "sequence_length", "stride"):
            value = getattr(self, name)
            if value is not None and value < 1:
                yield f"data.{name} is {value}; it counts from 1 up"
        if self.min_chars < 0:
            yield f"data.min_chars is {self.min_chars}; it counts characters, so 0 or more"
        if self.stride is not None and self.layout != "packed":
            yield f"data.stride is {self.stride}, and data.layout {self.layout} begins where stories do; unset it"
        if not self.separator.strip():
            yield "data.separator is blank; it is the text of the line that ends a story"


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    n_layers: int = 4
    """Number of transformer blocks."""
    n_heads: int = 4
    """Attention heads in each block."""
    n_kv_heads: int | None = None
    """Heads of keys and values, shared by groups of query heads. Unset: as many as n_heads."""
    d_model: int = 128
    """Width of the residual stream."""
    d_ff: int = 512
    """Width of the feed-forward layer."""
    vocab_size: int = 8000
    """Number of token ids; the tokenizer is made to fit it."""
    context_length: int = 256
    """Most tokens that the model sees at once."""
    norm: Literal["layernorm", "rmsnorm"] = "layernorm"
    """Kind of normalisation."""
    norm_placement: Literal["pre", "post"] = "pre"
    """Before each sub-layer (GPT-2), or after its residual sum (the first transformer). A last norm follows both."""
    norm_eps: float = 1e-5
    """Added to the variance before its root."""
    qk_norm: bool = False
    """Normalise queries and keys per head (RMSNorm) before they meet."""
    positions: Literal["learned", "sinusoidal", "rotary"] = "learned"
    """How the model is told where a token stands."""
    rotary_base: float = 10000.0
    """Base of the rotary angles."""
    embedding_scaled: bool = False
    """Multiply token embeddings by sqrt(d_model), as the first transformer did."""
    activation: Literal["gelu_tanh", "gelu", "relu2", "swiglu"] = "gelu_tanh"
    """Non-linearity of the feed-forward layer: GELU by its tanh formula, exact GELU, ReLU squared, or SwiGLU."""
    bias: tuple[Literal["qkv", "out", "mlp"], ...] = ("qkv", "out", "mlp")
    """The projections that have a bias."""
    attention: tuple[Literal["global", "local"], ...] = ("global",)
    """Reach of attention, repeated over the layers: [global, local] alternates."""
    window: int = 256
    """Tokens that a local layer sees, the token itself counted."""
    attention_scaled: bool = True
    """Divide attention scores by sqrt(head width); GPT-Neo does not."""
    tied: bool = True
    """The output layer shares the token embedding's weights."""
    dropout: float = 0.0
    """Probability of dropping a value while training, at the dropout_sites."""
    dropout_sites: tuple[Literal["embedding", "attention", "residual", "mlp"], ...] = (
        "embedding",
        "attention",
        "residual",
    )
    """Where dropout acts; mlp is inside the feed-forward layer, after its activation."""
    init_std: float = 0.02
    """Standard deviation of the initial weights."""

    @property
    def kv_heads(self) -> int:
        return self.n_heads if self.n_kv_heads is None else self.n_kv_heads

    @property
    def head_dim(self) -> int:
        return self.d_model // self.n_heads

    def layer_window(self, layer: int) -> int | None:
        """Tokens that layer `layer` sees, or None where it sees all before it."""
        return self.window if self.attention[layer % len(self.attention)] == "local" else None

    def problems(self) -> Iterator[str]:
        for name in ("n_layers", "n_heads", "d_model", "d_ff", "context_length", "window"):
            if getattr(self, name) < 1:
                yield f"model.{name} is {getattr(self, name)}; it counts from 1 up"
        if self.n_kv_heads is not None and self.n_kv_heads < 1:
            yield f"model.n_kv_heads is {self.n_kv_heads}; it counts from 1 up"
        if self.vocab_size < 2:
            yield f"model.vocab_size is {self.vocab_size}; it counts tokens, so 2 or more"
        if min(self.n_heads, self.d_model) > 0:
            yield from self._head_problems()
        if not 0 <= self.dropout < 1:
            yield f"model.dropout is {self.dropout}; it is a probability, from 0 to below 1"
        if not self.attention:
            yield "model.attention is empty; [global] or [global, local] would do"
        for name in ("norm_eps", "rotary_base", "init_std"):
            if not 0 < getattr(self, name) < float("inf"):
                yield f"model.{name} is {getattr(self, name)}; it must be above 0"
        if self.positions == "sinusoidal" and self.d_model % 2:
            yield f"model.d_model is {self.d_model}; sinusoidal positions need an even width"

    def _head_problems(self) -> Iterator[str]:
        if self.d_model % self.n_heads:
            fits = [n for n in range(1, min(self.d_model, 1024) + 1) if self.d_model % n == 0]
            near = ", ".join(map(str, sorted(sorted(fits, key=lambda n: abs(n - self.n_heads))[:4])))
            yield f"model.n_heads is {self.n_heads}, which does not divide model.d_model {self.d_model}; {near} would"
        elif self.positions == "rotary" and self.head_dim % 2:
            yield f"model.d_model / model.n_heads is {self.head_dim}; rotary positions need an even head width"
        if self.kv_heads >= 1 and self.n_heads % self.kv_heads:
            yield f"model.n_kv_heads is {self.n_kv_heads}, which does not divide model.n_heads {self.n_heads}"


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    kind: Literal["adamw", "muon"] = "adamw"
    """adamw: for all weights. muon: for the blocks' matrices (Jordan et al. 2024), and AdamW for the rest."""
    matrix_learning_rate: float | None = None
    """Peak learning rate of Muon's matrices, its updates being of AdamW's size. Unset: train.learning_rate."""
    momentum: float = 0.95
    """Decay of Muon's running mean of the gradient."""
    betas: tuple[float, float] = (0.9, 0.95)
    """Decay of the running means of the gradient and of its square."""
    weight_decay: float = 0.1
    """Decoupled decay of the matrices; norms, biases and vectors have none."""
    clip: float | None = 1.0
    """Largest norm of the whole gradient. Unset (null): no clipping."""

    def problems(self) -> Iterator[str]:
        if not all(0 <= beta < 1 for beta in self.betas):
            yield f"optimizer.betas is {list(self.betas)}; each is from 0 to below 1"
        if not 0 <= self.momentum < 1:
            yield f"optimizer.momentum is {self.momentum}; it is from 0 to below 1"
        if self.matrix_learning_rate is not None and self.matrix_learning_rate <= 0:
            yield f"optimizer.matrix_learning_rate is {self.matrix_learning_rate}; it must be above 0"
        if self.matrix_learning_rate is not None and self.kind != "muon":
            yield "optimizer.matrix_learning_rate is Muon's; set it to null, or optimizer.kind to muon"
        if self.weight_decay < 0:
            yield f"optimizer.weight_decay is {self.weight_decay}; 0 or more"
        if self.clip is not None and self.clip <= 0:
            yield f"optimizer.clip is {self.clip}; it is above 0, or null for none"


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig:
    kind: Literal["constant", "cosine", "linear", "wsd"] = "cosine"
    """Shape of the learning rate after the warm-up; wsd: stable, then a line down at the end (Hu et al. 2024,
    arXiv:2404.06395)."""
    warmup_steps: int = 0
    """Optimiser steps over which the learning rate rises from 0."""
    final_fraction: float = 0.1
    """Learning rate at the end, as a fraction of its peak."""
    decay_fraction: float = 0.2
    """With kind wsd: the part of the budget, after the warm-up, over which the learning rate falls."""

    def problems(self) -> Iterator[str]:
        if self.warmup_steps < 0:
            yield f"schedule.warmup_steps is {self.warmup_steps}; it counts steps, so 0 or more"
        if not 0 <= self.final_fraction <= 1:
            yield f"schedule.final_fraction is {self.final_fraction}; it is a fraction of the peak, from 0 to 1"
        if not 0 < self.decay_fraction <= 1:
            yield f"schedule.decay_fraction is {self.decay_fraction}; it is a part of the budget, above 0 and up to 1"


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    learning_rate: float = 1e-3
    """Peak learning rate."""
    init_from: str | None = None
    """Run folder whose weights the training begins with. Unset: random ones, from the seed."""
    teacher: str | None = None
    """Run folder from whose model's expectations this one learns, beside the tokens themselves (Hinton et al. 2015,
    arXiv:1503.02531). It has the same tokenizer. Unset: none."""
    teacher_weight: float = 0.5
    """The teacher's share of the loss, from 0 to 1."""
    micro_batch: int = 16
    """Windows (or rows) in one forward pass."""
    accumulation: int = 1
    """Forward passes summed into one optimiser step."""
    max_steps: int | None = None
    """Stop after this many optimiser steps."""
    max_epochs: float | None = None
    """Stop after this many passes over the training stories."""
    max_tokens: int | None = None
    """Stop after this many training tokens."""
    max_minutes: float | None = None
    """Stop after this many minutes of training; the schedule then ends with them."""
    evaluate_every: int = 500
    """Optimiser steps between evaluations; the last step is always evaluated."""
    evaluate_stories: int | None = None
    """Validation stories scored each time, the first so many. Unset: all."""
    checkpoint_every: int = 500
    """Optimiser steps between checkpoints; the last step always has one."""
    keep: int = 2
    """Newest checkpoints kept beside the best."""
    average: float | None = None
    """Score, tell with and keep as the run's model a running mean of the weights with this decay a step, such as 0.998
    (Tarvainen & Valpola 2017, arXiv:1703.01780). Unset: the weights themselves."""
    patience: int | None = None
    """Stop after this many evaluations without a better loss. Unset: never."""
    skip_bad_batches: bool = False
    """Pass over a batch whose loss or gradient is not a number, and count it. Otherwise it ends the run."""
    prompts: tuple[str, ...] = PROMPTS
    """Beginnings of the sample stories told at each evaluation, in turn."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Arithmetic of the matrix products; weights stay fp32. auto: bf16 where the machine has it."""
    compile: Literal["auto"] | bool = "auto"
    """Compile the model with torch.compile. auto: where the run is long enough to win the compile time back."""
    accelerator: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to train."""
    devices: int = 1
    """Processes (one for each device) on each node."""
    nodes: int = 1
    """Machines."""
    tensorboard: bool = False
    """Write TensorBoard's event files beside log.jsonl."""

    def problems(self) -> Iterator[str]:
        for name in ("micro_batch", "accumulation", "evaluate_every", "checkpoint_every", "keep", "devices", "nodes"):
            if getattr(self, name) < 1:
                yield f"train.{name} is {getattr(self, name)}; it counts from 1 up"
        budgets = [budget.removeprefix("train.") for budget in BUDGETS]
        for name in (*budgets, "patience", "evaluate_stories"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                yield f"train.{name} is {value}; it must be above 0"
        if self.average is not None and not 0 < self.average < 1:
            yield f"train.average is {self.average}; it is a decay, above 0 and below 1, such as 0.998"
        if all(getattr(self, name) is None for name in budgets):
            yield "train has no budget; set one of " + ", ".join(BUDGETS)
        if not 0 <= self.teacher_weight <= 1:
            yield f"train.teacher_weight is {self.teacher_weight}; it is a share of the loss, from 0 to 1"
        if not 0 < self.learning_rate < float("inf"):
            yield f"train.learning_rate is {self.learning_rate}; it must be above 0"
        processes = self.devices * self.nodes
        if processes > 0 and self.accumulation % processes and self.micro_batch % processes:
            yield (
                f"train.devices x train.nodes is {processes}, which divides neither train.accumulation "
                f"{self.accumulation} nor train.micro_batch {self.micro_batch}; a batch is shared out evenly"
            )


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A whole experiment: tokenizer, data, model, optimiser, schedule, budget, seed."""

    name: str = "recipe"
    """What the run is called."""
    about: str = ""
    """One line on what it is for."""
    seed: int = 0
    """Seeds the weights, the order of the data, dropout and the sample stories."""
    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    train: TrainConfig = field(default_factory=TrainConfig)

    @property
    def sequence_length(self) -> int:
        """Tokens in a training window or row."""
        return self.data.sequence_length or self.model.context_length

    def problems(self) -> Iterator[str]:
        if not self.name.strip() or not self.name.isprintable() or "/" in self.name or "\\" in self.name:
            yield f"name is {self.name!r}; the run's folder is called after it, so it holds no / or \\ and is not blank"
        if not 0 <= self.seed < 2**63:
            yield f"seed is {self.seed}; it is a whole number from 0 up"
        for name in ("tokenizer", "data", "model", "optimizer", "schedule", "train"):
            yield from getattr(self, name).problems()
        length, context = self.sequence_length, self.model.context_length
        if length > context:
            yield f"data.sequence_length is {length}, beyond model.context_length {context}"
        stride = self.data.stride
        if stride is not None and stride > length:
            yield f"data.stride is {stride}, beyond data.sequence_length {length}; tokens would be left out"
        size = self.model.vocab_size
        if self.tokenizer.kind == "bpe" and 2 <= size < 257:
            yield f"model.vocab_size is {size}; a byte-level BPE needs 257 or more (256 bytes and {EOT})"
