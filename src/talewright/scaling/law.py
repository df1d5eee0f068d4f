"""The scaling law of the story ladder: bits per byte by model size and training data.

L(N, D) = E + A / N^alpha + B / D^beta (Hoffmann et al. 2022, arXiv:2203.15556). N is the number of parameters, D the
number of bytes of stories trained on, so that models with different vocabularies compare. The constants in
`ladder.json` are fitted to finished runs by `benchmarks/ladder.py`.
"""

import json
import math
from dataclasses import dataclass
from importlib import resources
from typing import Any

FITTED_VOCABULARY = 4096
"""Vocabulary of the runs that the law was fitted to."""
HALF_VOCABULARY = 0.05
"""Bits per byte that half the vocabulary costs beyond what the law says of fewer parameters and bytes: of the 0.091
measured after 400 steps (docs/RESULTS.md) the law explains 0.041."""
REPETITION = 15.4
"""R of Muennighoff et al. 2023 (arXiv:2305.16264): how soon repeated text loses its value."""


@dataclass(frozen=True)
class Law:
    """Bits per byte at the end of a run."""

    E: float
    A: float
    alpha: float
    B: float
    beta: float

    def __call__(self, parameters: float, story_bytes: float, vocab_size: int = FITTED_VOCABULARY) -> float:
        smaller = max(0.0, math.log2(FITTED_VOCABULARY / vocab_size))
        return self.E + self.A / parameters**self.alpha + self.B / story_bytes**self.beta + HALF_VOCABULARY * smaller


def fitted_law() -> Law:
    """The law with the packaged constants."""
    return Law(**_ladder()["law"])


def effective_size(unique: float, epochs: float) -> float:
    """Size of the text without repetition that teaches as much: U + U R (1 - exp(-r / R)), r being the repetitions
    after the first pass (Muennighoff et al. 2023, arXiv:2305.16264).
    """
    return unique * (1 + REPETITION * -math.expm1(-max(0.0, epochs - 1) / REPETITION))


def fitted_range() -> tuple[int, int]:
    """Fewest and most parameters of the runs that the packaged law was fitted to."""
    least, most = _ladder()["parameters"]
    return least, most


def best_learning_rate(flops: float) -> float:
    """Peak learning rate of Muon's matrices for a run of that many FLOPs.

    The exponent is DeepSeek's (2024, arXiv:2401.02954); the factor is ours, from trials at 1e13 FLOPs (docs/LOG.md).
    """
    return 0.2 * flops**-0.125


def best_batch(flops: float) -> float:
    """Tokens per optimizer step for a run of that many FLOPs: DeepSeek's exponent, and a third of its factor."""
    return 0.1 * flops**0.3271


def _ladder() -> dict[str, Any]:
    return json.loads((resources.files("talewright.scaling") / "ladder.json").read_text(encoding="utf-8"))
