"""What a target of an export is: a form in which other programs read a model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from talewright.config import ModelConfig, Recipe
from talewright.model.gpt import GPT
from talewright.tokenizer import Tokenizer


@dataclass(frozen=True, kw_only=True)
class Source:
    """What is exported: a model with its recipe and tokenizer, and the run folder that tells how it came to be."""

    recipe: Recipe
    model: GPT
    """In float32, on the processor, in evaluation mode."""
    tokenizer: Tokenizer
    run: Path
    checkpoint: str
    """Name of the checkpoint's folder, such as step-500."""


class Target(ABC):
    """One form. Everything that it needs installed is imported in its methods and its client, not with its module."""

    name: ClassVar[str]
    """As `--to` spells it."""
    extra: ClassVar[str]
    """The extra of this package that installs what the form and its proof need."""
    packages: ClassVar[tuple[str, ...]]
    """The modules that the extra brings and that are imported here."""
    bounds: ClassVar[Mapping[str, float]]
    """By precision, as `--dtype` spells it, the default first: how far a logit may be from ours, as a share of the
    largest logit."""
    client: ClassVar[str]
    """Module under `export/clients` that reads the form in a fresh process (see `proof.py`)."""

    repo_type: ClassVar[Literal["model", "space"]] = "model"
    """What a repository of the hub is that holds the form."""

    @abstractmethod
    def why_not(self, config: ModelConfig) -> str | None:
        """Why this form cannot hold a model of that shape, in words that end a sentence; None where it can."""

    @abstractmethod
    def write(self, source: Source, folder: Path, dtype: str) -> None:
        """Write the model and its tokenizer into the folder, which is there and empty."""

    def parts(self, dtype: str) -> Mapping[str, float]:
        """What of the folder the client reads, "" for the whole, and the bound of each: a share as in `bounds`."""
        return {"": self.bounds[dtype]}

    def front(self, source: Source) -> dict[str, Any] | None:
        """The card's front matter, where it is not that of a model."""
        return None

    @abstractmethod
    def usage(self, place: str) -> str:
        """Markdown for the model card: how its reader loads the model from that folder or repository."""
