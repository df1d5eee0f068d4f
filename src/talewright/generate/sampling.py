"""The settings of generation: how the next token is drawn, and when to stop. Imports nothing heavy."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from talewright.errors import UserError

GREEDY = 1e-5
"""Below this temperature the most likely token is always taken: logits divided by less would soon overflow."""


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How text is generated. The defaults are those of every command, page and export.

    Raises UserError, naming every option that is out of range.
    """

    temperature: float = 0.8
    """Below 1 likely tokens become likelier, above 1 less likely; 0 always takes the most likely one."""
    top_k: int | None = None
    """Draw only from this many most likely tokens."""
    top_p: float | None = 0.95
    """Draw from the most likely tokens that together reach this probability; 1 draws from all."""
    min_p: float | None = None
    """Leave out tokens whose probability is below this share of the most likely one's."""
    repetition_penalty: float = 1.0
    """Above 1, tokens that already occurred become less likely."""
    max_new_tokens: int = 512
    """Stop a text that has not ended after this many tokens. Few stories for children are longer than the default."""
    seed: int = 0
    """The same seed generates the same texts."""

    def __post_init__(self) -> None:
        problems = list(self.problems())
        if problems:
            raise UserError("\n".join(problems))

    def problems(self) -> Iterator[str]:
        if not 0 <= self.temperature < math.inf:
            yield f"--temperature is {self.temperature}; it must be finite, and 0 (the most likely token) or more"
        if self.top_k is not None and self.top_k < 1:
            yield f"--top-k is {self.top_k}; it must be 1 or more"
        if self.top_p is not None and not 0 < self.top_p <= 1:
            yield f"--top-p is {self.top_p}; it is a probability and must be above 0 and at most 1"
        if self.min_p is not None and not 0 <= self.min_p <= 1:
            yield f"--min-p is {self.min_p}; a fraction of the highest probability, it must be from 0 to 1"
        if not 1e-3 <= self.repetition_penalty <= 1e3:  # beyond these, logits become infinite
            yield f"--repetition-penalty is {self.repetition_penalty}; it must be from 0.001 to 1000 (1: none)"
        if self.max_new_tokens < 1:
            yield f"--max-new-tokens is {self.max_new_tokens}; it must be 1 or more"
        if not 0 <= self.seed < 2**63:
            yield f"--seed is {self.seed}; it must be a whole number from 0 to {2**63 - 1}"
