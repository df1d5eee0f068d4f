"""What an export target is: a format in which other programs read a model."""

from __future__ import annotations

import dataclasses
import json
import shlex
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from talewright.config import ModelConfig, Recipe

if TYPE_CHECKING:
    from talewright.model.gpt import GPT
    from talewright.tokenizer import Tokenizer


@dataclass(frozen=True, kw_only=True)
class ExportSource:
    """What is exported: a model with its recipe and tokenizer, and the run folder that it comes from."""

    recipe: Recipe
    model: GPT
    """In float32, on the CPU, in evaluation mode."""
    tokenizer: Tokenizer
    run: Path
    checkpoint: str
    """Name of the checkpoint folder, such as step-500."""
    license: str | None = None
    """Of the weights, by the hub's name for it, such as cc-by-4.0. None: that of the bundled stories if it was trained
    on them, and otherwise not stated.
    """

    @property
    def step(self) -> int:
        return int(self.checkpoint.removeprefix("step-"))


def fitted(source: ExportSource) -> ExportSource:
    """With a model that has no rows beyond the tokenizer's ids: most other programs would generate such ids."""
    size, config = source.tokenizer.vocab_size, source.recipe.model
    if config.vocab_size <= size:
        return source
    from talewright.model.gpt import GPT

    config = dataclasses.replace(config, vocab_size=size)
    model, weights = GPT(config), source.model.state_dict()
    rows = [name for name in ("embedding.weight", "head.weight") if name in weights]
    model.load_state_dict(weights | {name: weights[name][:size] for name in rows})
    return dataclasses.replace(source, model=model.eval(), recipe=dataclasses.replace(source.recipe, model=config))


class ExportTarget(ABC):
    """One format. Optional packages are imported in its methods and its reader, not when its module is imported."""

    name: ClassVar[str]
    """The value of `--to`."""
    extra: ClassVar[str]
    """The extra of this package that installs what the format needs."""
    packages: ClassVar[tuple[str, ...]] = ()
    """The modules that writing the format needs."""
    reader_packages: ClassVar[tuple[str, ...]] = ()
    """The modules that the parity check needs. Without them the export is written, but not verified."""
    bounds: ClassVar[Mapping[str, float]]
    """For each `--dtype`, the default first: the allowed difference of a logit, relative to the largest logit."""
    reader: ClassVar[str]
    """Module under `export/readers` that reads the format in a fresh process (see `parity.py`)."""
    reader_requirement: ClassVar[str | None] = None
    """What pip installs for the parity check, if the extra does not."""
    library: ClassVar[str | None] = None
    """The library that reads the format, by the hub's name for it."""
    space_sdk: ClassVar[Literal["gradio", "static"] | None] = None
    """What runs the folder as a Space on the hub; None if its repository there is a model."""
    reads_files: ClassVar[bool] = False
    """Whether what `usage_template` names are files on this machine, so that a repository must be downloaded first."""
    usage_template: ClassVar[str]
    """Markdown for the model card: how to load the model from a folder or repository: {place} stands within quotation
    marks in code, {shell} in a command.
    """

    def unsupported_reason(self, config: ModelConfig) -> str | None:
        """Why this format cannot hold a model of that shape; None if it can."""
        return None

    def setup_problems(self) -> Iterator[str]:
        """What this machine lacks to write the format."""
        if missing := missing_modules(self.packages):
            yield f'--to {self.name} needs {", ".join(missing)}: pip install "talewright[{self.extra}]"'

    @abstractmethod
    def commands(self, folder: Path) -> dict[str, str]:
        """How to use the export now: for each program or step, a command for a shell or an address."""

    @abstractmethod
    def write(self, source: ExportSource, folder: Path, dtype: str) -> None:
        """Write the model and its tokenizer into the folder, which exists and is empty."""

    def readable_parts(self, dtype: str) -> Mapping[str, float]:
        """The paths in the folder to check ("" is the whole folder), each with its bound as in `bounds`."""
        return {"": self.bounds[dtype]}

    def check_contents(self, source: ExportSource, folder: Path, dtype: str) -> str | None:
        """Compare the files with the model without the reader, and say what was compared; None if nothing can be.

        Raises UserError if they differ.
        """
        return None

    def space_settings(self) -> dict[str, Any]:
        """What a Space's front matter says beyond its SDK, by the hub's names."""
        return {}

    def usage(self, place: str, config: ModelConfig) -> str:
        """How to load a model of that shape from a folder or repository: Markdown."""
        before = ""
        if self.reads_files and not place.startswith("./"):
            kind = " --repo-type space" if self.space_sdk else ""
            repository, place = place, f"./{place.rpartition('/')[2]}"
            before = f"Download the files first: `hf download {repository}{kind} --local-dir {place}`.\n\n"
        quoted = json.dumps(place, ensure_ascii=False)[1:-1]
        return before + self.usage_template.format(place=quoted, shell=shlex.quote(place))


def missing_modules(names: Iterable[str]) -> list[str]:
    """Those of the modules that are not installed."""
    return [name for name in names if find_spec(name) is None]
