"""The memory that training needs, estimated from the recipe, and what the machine has of it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import NamedTuple

import torch

from talewright.config import ModelConfig, Recipe
from talewright.machine.limits import device_memory
from talewright.model.cost import BLOCK, activation_bytes, count_parameters, projection_sizes
from talewright.model.loss import COLUMNS_AT_ONCE, LOGITS_AT_ONCE, ROWS_AT_ONCE, SLICE, SLICE_ON_GPU
from talewright.train.cuda_graph import python_is_the_limit
from talewright.train.distillation import Teacher
from talewright.train.distributed import DistributedContext, per_rank_batch

CPU = torch.device("cpu")
EVALUATION_TOKENS = 8192
"""Tokens that an evaluation reads at once."""
HOLES, PASSING, AMONG_GRADIENTS = 1.2, 0.5, 0.5
"""What a heap holds for each byte of activations, measured: fragmentation and temporaries of the backward pass; more
with rotary positions, which make many temporaries, and more between the gradients of earlier micro-batches."""
HEAP_PAD = 1 << 26
"""Bytes that a heap which keeps freed memory takes beyond its need; see `machine.keep_heap`."""
MUON_BYTES = 9
"""Bytes of temporaries for each weight that Muon updates: the float32 updates of all matrices, and for the largest
group of one shape, about a third of them, a stack of these (4) and five products in bfloat16 (2 each)."""
ROUNDING = 1.05
"""What a GPU's caching allocator reserves for each byte that is allocated: it rounds small blocks up to 512 bytes and
cuts large ones from segments of 2 to 20 MiB, of which some stays unused."""
GPU_PAD = 1 << 26
"""Bytes of the workspaces of cuBLAS and cuBLASLt: 32 MiB each on Hopper, less before. A CUDA context is not counted: it
exists when the free memory is asked for."""


class SmallerBatch(NamedTuple):
    """A micro-batch that fits, the accumulation that makes the same batch of it, and the bytes that it needs."""

    micro_batch: int
    accumulation: int
    needed: int


@dataclass(frozen=True)
class MemoryNeed:
    """The memory of a recipe's training: of a GPU's process alone, and of all a node's processes on its CPUs."""

    recipe: Recipe
    precision: str = "fp32"
    device: torch.device = CPU
    teacher: ModelConfig | None = None
    world_size: int = 1
    per_node: int = 1

    @classmethod
    def of(cls, recipe: Recipe, distributed: DistributedContext, teacher: Teacher | None) -> MemoryNeed:
        """The need of these processes."""
        fabric, shape = distributed.fabric, teacher and teacher.model.config
        return cls(recipe, distributed.precision, fabric.device, shape, fabric.world_size, distributed.per_node)

    def needed(self) -> int:
        """Estimated bytes."""
        micro_batch, accumulation = per_rank_batch(self.recipe, self.world_size)
        recipe = _with_batch(self.recipe, micro_batch, accumulation)
        size = training_bytes(recipe, self.precision, self.teacher, self.device.type)
        if self.world_size > 1:  # DistributedDataParallel copies the gradients into buckets
            size += 4 * count_parameters(recipe.model).total
        return self._sharing() * size

    def available(self) -> int | None:
        """Bytes that are free for it now; None if the system does not say."""
        return device_memory(self.device, self._sharing())

    @property
    def where(self) -> str:
        """Which memory it is, for a message."""
        return "memory" if self.device.type == "cpu" else "the GPU's memory"

    def _sharing(self) -> int:
        """Processes of this node that share the memory; a GPU's is one process's."""
        return self.per_node if self.device.type == "cpu" else 1

    def smaller_batch(self, limit: float) -> SmallerBatch | None:
        """The largest micro-batch that divides this one and is estimated to need at most `limit` bytes; None if even 1
        needs more.
        """
        train = self.recipe.train
        for micro_batch in range(train.micro_batch - 1, 0, -1):
            accumulation = train.accumulation * train.micro_batch // micro_batch
            shared_out = accumulation % self.world_size == 0 or micro_batch % self.world_size == 0
            if train.micro_batch % micro_batch or not shared_out:
                continue
            needed = dataclasses.replace(self, recipe=_with_batch(self.recipe, micro_batch, accumulation)).needed()
            if needed <= limit:
                return SmallerBatch(micro_batch, accumulation, needed)
        return None


def state_bytes(recipe: Recipe) -> int:
    """Bytes of the float32 weights, their moving average if any, and the optimizer's state: AdamW keeps two values for
    each weight, Muon one, AdaGrad one for each row.
    """
    table = 2 * count_parameters(recipe.model).bigrams - recipe.model.bigrams
    return 4 * ((4 if recipe.train.average else 3) * count_parameters(recipe.model).total - _moved(recipe) - table)


def training_bytes(recipe: Recipe, precision: str, teacher: ModelConfig | None = None, device: str = "cpu") -> int:
    """Most bytes of memory that a process needs to train the recipe, beyond the program itself, on that kind of device.

    Weights and optimizer state are always there, in float32. Added to them is the largest of three peaks: after the
    loss of a micro-batch (activations, the slices of the loss, and the gradients of earlier micro-batches), during an
    update (all gradients), and during an evaluation. A CUDA graph keeps the memory of the first, and the others come on
    top. A teacher of that shape adds its weights and its outputs.
    """
    config, train = recipe.model, recipe.train
    P, V, D = count_parameters(config).total, config.vocab_size, config.d_model
    e = 4 if precision == "fp32" else 2
    rows = train.micro_batch * recipe.sequence_length
    logit, slice_size = (3 * e, SLICE) if device == "cpu" else (2 * e, SLICE_ON_GPU)
    loss = logit * min(rows, slice_size // V) * V + (4 + 2 * e) * V * D + 2 * e * rows * D
    if device == "cpu":
        holes = HOLES + PASSING * (config.positions == "rotary") + AMONG_GRADIENTS * (train.accumulation > 1)
        block, passing, rounding, pad = BLOCK, 0, 1.0, HEAP_PAD
    else:
        # A GPU's allocator reuses what is freed, so the activations count once. Added to them is what passes through
        # the last block at the start of the backward pass: the gradients of its residual stream (float32, two at a
        # time) and of its hidden layer (before and after the activation).
        holes, passing, rounding, pad = 1.0, rows * (8 * D + 2 * e * config.d_ff), ROUNDING, GPU_PAD
        block = None if device == "cuda" else recipe.sequence_length  # Apple's GPUs hold the whole square of scores
    kept = holes * rows * activation_bytes(config, recipe.sequence_length, e, block) + (e * P if e < 4 else 0)
    gradients = 4 * P if train.accumulation > 1 else 0
    columns = min(V, COLUMNS_AT_ONCE) if device == "cpu" else V
    logits = 24 * max(ROWS_AT_ONCE, LOGITS_AT_ONCE // V) * columns + e * V * D
    scoring = EVALUATION_TOKENS * ((16 + 6 * e) * D + 3 * e * config.d_ff) + logits
    held, before = state_bytes(recipe), 0.0
    if teacher is not None:  # its forward pass comes first, and only its last hidden states are kept
        E, slices = teacher.d_model, 3 * e * min(rows, slice_size // V) * V
        held += 4 * count_parameters(teacher).total
        before = rows * ((16 + 6 * e) * E + 3 * e * teacher.d_ff)
        loss += slices + e * V * E + 4 * rows * E
    update = 4 * P + max(8 * V * D, MUON_BYTES * _moved(recipe))
    if device == "cuda" and teacher is None and python_is_the_limit(recipe, train.micro_batch):
        most = kept + loss + passing + 4 * P + max(update - 4 * P, scoring)
    else:
        most = max(kept + loss + gradients + passing, before + gradients, update, scoring)
    return round(rounding * (held + most) + pad)


def _moved(recipe: Recipe) -> int:
    """Weights that Muon updates."""
    return recipe.model.n_layers * sum(projection_sizes(recipe.model)) if recipe.optimizer.kind == "muon" else 0


def mebibytes(size: float) -> str:
    """A size for people: 1,234 MiB."""
    return f"{size / 2**20:,.0f} MiB"


def _with_batch(recipe: Recipe, micro_batch: int, accumulation: int) -> Recipe:
    train = dataclasses.replace(recipe.train, micro_batch=micro_batch, accumulation=accumulation)
    return dataclasses.replace(recipe, train=train)
