"""The scaling law of the story ladder: bits per byte by model size and training data.

L(N, D) = E + A / N^alpha + B / D^beta (Hoffmann et al. 2022, arXiv:2203.15556). N is the number of parameters, D the
number of bytes of stories trained on, so that models with different vocabularies compare. The constants in
`ladder.json` are fitted to finished runs by `benchmarks/ladder.py`.
"""

import json
from dataclasses import dataclass
from importlib import resources
from typing import Any


@dataclass(frozen=True)
class Law:
    """Bits per byte at the end of a run."""

    E: float
    A: float
    alpha: float
    B: float
    beta: float

    def __call__(self, parameters: float, story_bytes: float) -> float:
        return self.E + self.A / parameters**self.alpha + self.B / story_bytes**self.beta


def fitted_law() -> Law:
    """The law with the packaged constants."""
    return Law(**_ladder()["law"])


def law_source() -> str:
    """What the packaged law was fitted to, in one sentence."""
    ladder = _ladder()
    least, most = ladder["parameters"]
    return (
        f"expected: from a law fitted to {ladder['runs']} runs of {least:,} to {most:,} parameters; extrapolated beyond"
    )


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
