"""A whole experiment."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated

from talewright.config.checks import Check, Section
from talewright.config.data import DataConfig
from talewright.config.model import ModelConfig
from talewright.config.optimizer import OptimizerConfig
from talewright.config.schedule import ScheduleConfig
from talewright.config.tokenizer import EOT, TokenizerConfig
from talewright.config.train import TrainConfig


def _names_a_folder(name: str) -> bool:
    return bool(name.strip()) and name.isprintable() and not set(name) & set("/\\")


@dataclass(frozen=True, kw_only=True)
class Recipe(Section):
    """A whole experiment: tokenizer, data, model, optimizer, schedule, budget, seed."""

    name: Annotated[
        str, Check(_names_a_folder, "the run's folder gets this name, so it must not be blank or contain / or \\")
    ] = "recipe"
    """Name of the run."""
    about: str = ""
    """What the recipe is for, in one line."""
    seed: Annotated[int, Check(lambda value: 0 <= value < 2**63, f"it is a whole number from 0 to {2**63 - 1}")] = 0
    """Seed of the weights, the data order, dropout and the samples."""
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

    def conflicts(self) -> Iterator[str]:
        for section in (self.tokenizer, self.data, self.model, self.optimizer, self.schedule, self.train):
            yield from section.problems()
        length, context = self.sequence_length, self.model.context_length
        if length > context:
            yield f"data.sequence_length is {length}, beyond model.context_length {context}"
        stride = self.data.stride
        if stride is not None and stride > length:
            yield f"data.stride is {stride}, beyond data.sequence_length {length}; tokens would be left out"
        size = self.model.vocab_size
        if self.tokenizer.kind == "bpe" and 2 <= size < 257:
            yield f"model.vocab_size is {size}; a byte-level BPE needs 257 or more (256 bytes and {EOT})"
