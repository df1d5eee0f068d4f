"""The run folder: the one way to open what a run holds.

recipe.yaml       every setting, resolved; it alone reproduces the run
data.json         the corpus that the run was trained on, and its teacher
tokenizer/        tokenizer.json
draft.safetensors what usually comes next in its stories: for faster generation
initial/          the weights that training started from, if they are another run's
checkpoints/      step-N/, best, last
timeline/         step-N.safetensors: light checkpoints, the weights alone in bfloat16
log.jsonl, samples.jsonl, scores.json, plots/, report.html

One set of rules holds for runs that are damaged or still training:

- A checkpoint is checked against its manifest before use. For `best` and `last`, the newest whole checkpoint replaces a
  damaged one, with a logged warning. A step that is damaged or missing raises UserError.
- A checkpoint that a training run deletes while it is read is looked up again.
- A damaged draft is left out, with a logged warning.
- A torn or damaged line of a log is skipped. Readers change nothing; only a resumed run repairs the folder.
- A recipe that this version cannot read raises UserError, which names the settings. Removed settings that were not used
  are ignored.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from talewright.config import ModelConfig, Recipe, load_recipe, recipe_from_dict, recipe_to_yaml
from talewright.data import Corpus, open_corpus, tokenize_source
from talewright.data.sources import from_anywhere
from talewright.errors import UserError
from talewright.files import expand_home, read_json, reject_outside_links, write_json, write_text_atomic
from talewright.run import retention
from talewright.run.checkpoint import WEIGHTS, load_weights
from talewright.run.draft import NgramDraft, read_draft, write_draft
from talewright.run.history import History, read_history
from talewright.run.included import INCLUDED, is_included, results_path, run_path
from talewright.run.log import read_log
from talewright.run.new_folder import INITIAL, METADATA, RECIPE, new_run_path
from talewright.tokenizer import Tokenizer
from talewright.version import __version__

if TYPE_CHECKING:
    import torch

    from talewright.model.gpt import GPT

logger = logging.getLogger(__name__)


class RunFolder:
    """A run folder on disk. A checkpoint is named `best`, `last` or by its step."""

    def __init__(self, path: str | Path, overrides: Mapping[str, str] | None = None) -> None:
        """`included` is the included model (see `included.py`). Raises UserError if the folder is not a run, or its
        recipe cannot be read.
        """
        self.path = run_path(path)
        self.recipe = self._read_recipe(overrides)

    @classmethod
    def is_run(cls, path: Path) -> bool:
        return (path / RECIPE).is_file()

    @cached_property
    def name(self) -> str:
        return self.path.resolve().name

    @property
    def label(self) -> str:
        """What a command calls it: its path, or `included`."""
        return INCLUDED if self.included else str(self.path)

    @property
    def included(self) -> bool:
        """Whether it is the included model."""
        return is_included(self.path)

    @property
    def results(self) -> Path:
        """Where commands write what they find about it: its own folder, unless it is the included model."""
        return results_path(self.path)

    @cached_property
    def tokenizer(self) -> Tokenizer:
        folder = self.path / "tokenizer"
        if not (folder / "tokenizer.json").is_file():
            raise UserError(
                f"{folder} has no tokenizer.json, and no other tokenizer fits this model. Copy it from another copy of "
                "the run, or from a folder that it was exported to"
            )
        return Tokenizer.load(folder)

    @property
    def steps(self) -> list[int]:
        """The steps of its checkpoints, oldest first."""
        return retention.steps(self.path)

    def find_checkpoint(self, which: str = "best") -> Path:
        """The folder of a checkpoint, damaged or not. Raises UserError if there is none."""
        return retention.find_checkpoint(self.path, which)

    def checkpoint(self, which: str = "best") -> Path:
        """The folder of a whole checkpoint. Raises UserError if there is none."""
        return retention.whole_checkpoint(self.path, which)

    @cached_property
    def logged_recipe(self) -> Recipe | None:
        """The recipe that the run began with, by its log; None if that has none which this version can read."""
        events = read_log(self.path / "log.jsonl")
        recipe = next((event.get("recipe") for event in events if event.get("event") == "run"), None)
        try:
            return recipe_from_dict(recipe) if isinstance(recipe, dict) else None
        except UserError:
            return None

    def load_model(self, which: str = "best", device: torch.device | None = None) -> tuple[GPT, Path]:
        """The model at a checkpoint, in evaluation mode, by default on this machine's best device; and the checkpoint's
        folder.
        """
        from talewright.model.gpt import GPT

        model = GPT(self.recipe.model)
        checkpoint = self.read_weights(model, which)
        return _moved(model, device), checkpoint

    def read_weights(self, model: GPT, which: str = "best") -> Path:
        """Read a checkpoint's weights into a model, and return its folder. Raises UserError if they do not fit it, or
        if the model in the recipe was edited: settings such as `n_heads` change what weights mean, not their shapes.
        """
        began = self.logged_recipe
        if began is not None and (changed := _changed(began.model, self.recipe.model)):
            raise UserError(f"{self.path / RECIPE} was edited after the run began: {changed}. Put it back")
        checkpoint = self.checkpoint(which)
        try:
            load_weights(checkpoint, model)
        except UserError:
            if checkpoint.is_dir():
                raise
            return self.read_weights(model, which)  # a training run has just deleted it
        return checkpoint

    def initial_model(self, device: torch.device | None = None) -> GPT:
        """The model before training, in evaluation mode."""
        import torch

        from talewright.model.gpt import GPT

        torch.manual_seed(self.recipe.seed)
        model = GPT(self.recipe.model)
        if (self.path / INITIAL).is_dir():
            load_weights(self.path / INITIAL, model)
        return _moved(model, device)

    @property
    def metadata(self) -> dict[str, Any]:
        """The source, corpus fingerprint and teacher that the run recorded at its start. Empty if it has none."""
        metadata = read_json(self.path / METADATA)
        return metadata if isinstance(metadata, dict) else {}

    @property
    def imported(self) -> bool:
        """Whether its model was trained elsewhere: it has a checkpoint, and neither a log nor data.json; or it is the
        included model.
        """
        return self.included or (
            bool(self.steps) and not any((self.path / name).exists() for name in ("log.jsonl", METADATA))
        )

    def history(self) -> History:
        """The metrics of its log; empty if it has none."""
        return read_history(self.path)

    def draft(self) -> NgramDraft | None:
        """What proposes tokens in speculative decoding; None for a run that has no table, or a damaged one, which is
        logged as a warning: the text is the same without it.
        """
        try:
            return read_draft(self.path, self.tokenizer.vocab_size)
        except UserError as error:
            logger.warning("%s", error)
            return None

    def corpus(self) -> Corpus:
        """The prepared stories that it was trained on. Raises UserError if they are unavailable, or have changed."""
        if self.included:
            raise UserError("the training stories of the included model do not come with it; name stories by --data")
        if self.imported:
            raise UserError(f"{self.path} was imported, and its training stories are unknown; name stories by --data")
        corpus = open_corpus(self.recipe)
        self.check_same_stories(corpus, "name stories by --data")
        return corpus

    def check_same_stories(
        self, corpus: Corpus, otherwise: str = "set --data.format, or train into another folder"
    ) -> None:
        """Raise UserError, which ends with `otherwise`, if the stories are not those that the run started with."""
        if corpus.tokenizer.fingerprint != self.tokenizer.fingerprint:
            raise UserError(
                f"the stories have changed since {self.path} began: they now give another tokenizer. Put back what "
                f"they were, or {otherwise}"
            )
        metadata = self.metadata
        if (self.path / METADATA).exists() and not metadata:
            raise UserError(
                f"{self.path / METADATA} is damaged, so whether the stories are the same cannot be checked. Put it "
                "back; or if you know that they are, delete it"
            )
        if (self.path / METADATA).exists() and metadata.get("fingerprint") != corpus.fingerprint:
            raise UserError(
                f"{self.path} began with other stories than {corpus.folder} holds: "
                f"{metadata.get('source') or 'its source'} has changed since, or is read in another way than "
                f"data.json says. Put back what it was, or {otherwise}"
            )

    def stories(
        self, data: str | None = None, reading: Mapping[str, Any] | None = None
    ) -> tuple[list[np.ndarray], np.ndarray]:
        """Token ids and UTF-8 sizes of the run's validation stories, or of all the stories of `data`.

        The format of `data` is recognized, whatever the run's own stories have; `reading` are settings of the section
        data that say how it is read.
        """
        if data is not None:
            return tokenize_source(self.recipe.data.of_source(data, reading or {}), self.tokenizer)
        return self.corpus().split("valid").stories()

    def write_recipe(self, recipe: Recipe) -> None:
        """Replace the recipe, for a resumed run with a new budget."""
        with _write_errors(self.path):
            write_text_atomic(self.path / RECIPE, recipe_to_yaml(recipe))

    def _read_recipe(self, overrides: Mapping[str, str] | None) -> Recipe:
        if not self.is_run(self.path):
            other = "it is a file" if self.path.is_file() else "there is no such folder"
            why = f"it has no {RECIPE}" if self.path.is_dir() else other
            raise UserError(
                f"{self.path} is not a run folder: {why}. `talewright train` makes one, under runs/; `{INCLUDED}` is "
                "the model that comes with Talewright"
            )
        if not self.included:  # some installers make links of a package's files
            reject_outside_links(self.path)
        try:
            recipe = load_recipe(self.path / RECIPE)
        except UserError as error:  # not the overrides, but the file itself
            raise UserError(
                f"{self.path / RECIPE} does not fit talewright {__version__}; it may be another version's: {error}"
            ) from None
        if overrides:
            recipe = load_recipe(self.path / RECIPE, overrides)
        if recipe.tokenizer.kind == "saved":  # its own copy, wherever the folder was moved
            own = dataclasses.replace(recipe.tokenizer, source=str((self.path / "tokenizer").resolve()))
            recipe = dataclasses.replace(recipe, tokenizer=own)
        return recipe


def create_run(path: Path, recipe: Recipe, corpus: Corpus, teacher: dict[str, str] | None = None) -> Recipe:
    """Write a new run folder, and return the recipe that stands in it. Raises TakenError as `new_run_path`, or
    UserError if the weights of `train.init_from` do not fit.

    Its data.json comes first, as the mark of a run that begins, and the recipe last: it makes the folder a run. Initial
    weights of another run are copied, because that run may change. `teacher` is the teacher's checkpoint and the hash
    of its weights.
    """
    new_run_path(recipe, path)  # another process may have started a run here
    recipe = with_absolute_paths(recipe)
    initial = _initial_weights(recipe, corpus.tokenizer)
    metadata: dict[str, Any] = {"source": recipe.data.source, "fingerprint": corpus.fingerprint}
    metadata["recognized"] = corpus.manifest.get("recognized", {})
    if teacher is not None:
        metadata["teacher"] = teacher
    with _write_errors(path):
        path.mkdir(parents=True, exist_ok=True)
        write_json(path / METADATA, metadata)
        corpus.tokenizer.save(path / "tokenizer")
        write_draft(path, corpus.split("train"), corpus.tokenizer.vocab_size)
        if initial is not None:
            (path / INITIAL).mkdir(exist_ok=True)
            (path / INITIAL / WEIGHTS).write_bytes(initial)
        write_text_atomic(path / RECIPE, recipe_to_yaml(recipe))
    return recipe


def _moved(model: GPT, device: torch.device | None) -> GPT:
    """The model in evaluation mode on that device, or on this machine's best one."""
    from talewright.machine import default_device, gpu_memory_errors

    device = device or default_device()
    with gpu_memory_errors(device):
        return model.to(device).eval()


def with_absolute_paths(recipe: Recipe) -> Recipe:
    """The recipe with absolute paths, so that its run finds stories and other runs from any working directory."""
    data, tokenizer = recipe.data, recipe.tokenizer
    sources = {name: getattr(data, name) for name in ("source", "valid", "test")}
    data = dataclasses.replace(data, **{name: value and from_anywhere(value) for name, value in sources.items()})
    if expand_home(tokenizer.source).is_dir():  # otherwise a name on the hub
        tokenizer = dataclasses.replace(tokenizer, source=from_anywhere(tokenizer.source))
    runs = {name: getattr(recipe.train, name) for name in ("init_from", "teacher")}
    runs = {name: run and _absolute_run(run) for name, run in runs.items()}
    train = dataclasses.replace(recipe.train, **runs)
    return dataclasses.replace(recipe, data=data, tokenizer=tokenizer, train=train)


def _absolute_run(run: str) -> str:
    """The absolute path of a run; `included` stays a name, because the package may move."""
    path = expand_home(run)
    return INCLUDED if is_included(run_path(path)) else str(path.absolute())


def _initial_weights(recipe: Recipe, tokenizer: Tokenizer) -> bytes | None:
    """The file of the weights that training starts from: their checkpoint may soon be gone, if that run still trains.
    Raises UserError if they do not fit the recipe.
    """
    if recipe.train.init_from is None:
        return None
    from safetensors.torch import save

    from talewright.model.gpt import GPT

    source, model = RunFolder(recipe.train.init_from), GPT(recipe.model)
    source.read_weights(model)
    if source.tokenizer.fingerprint != tokenizer.fingerprint:
        raise UserError(f"{source.path} has another tokenizer than these stories were prepared with")
    return save({name: tensor.contiguous() for name, tensor in model.state_dict().items()})


@contextmanager
def _write_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot write the run folder {path}: {error.strerror}; name another by --out") from None


def _changed(before: ModelConfig, after: ModelConfig) -> str:
    """The settings that differ, in words; empty if none does. Those that matter in training alone may differ."""
    names = (field.name for field in dataclasses.fields(ModelConfig))
    fields = [name for name in names if name not in ("dropout", "dropout_sites", "init_std")]
    pairs = [(name, getattr(before, name), getattr(after, name)) for name in fields]
    return "; ".join(f"model.{name} was {old}, and is {new}" for name, old, new in pairs if old != new)
