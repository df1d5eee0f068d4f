"""The optimizer."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

from talewright.config.checks import Check, Decay, NotNegative, Positive, Section


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig(Section, prefix="optimizer."):
    """Settings of the optimizer. Its learning rate is train.learning_rate."""

    kind: Literal["adamw", "muon"] = "adamw"
    """adamw: AdamW for all weights. muon: Muon (Jordan et al. 2024) for the blocks' matrices, AdamW for the rest."""
    matrix_learning_rate: Positive | None = None
    """Peak learning rate of Muon's matrices, whose updates are scaled to AdamW's size. Unset: train.learning_rate."""
    momentum: Decay = 0.95
    """Decay of Muon's running mean of the gradient."""
    betas: Annotated[
        tuple[float, float],
        Check(lambda betas: all(0 <= beta < 1 for beta in betas), "each is a decay, from 0 to below 1"),
    ] = (0.9, 0.95)
    """Decay of AdamW's running means of the gradient and of its square."""
    weight_decay: NotNegative = 0.1
    """Decoupled weight decay of the matrices. Norms, biases and vectors have none."""
    clip: Positive | None = 1.0
    """Largest norm of the whole gradient. Unset (null): no clipping."""

    def conflicts(self) -> Iterator[str]:
        if self.matrix_learning_rate is not None and self.kind != "muon":
            yield "optimizer.matrix_learning_rate is Muon's; set it to null, or optimizer.kind to muon"
