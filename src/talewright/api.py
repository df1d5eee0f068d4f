"""The whole path in a few calls: what the command line does, for a notebook or a script.

import talewright

recipe = talewright.load_recipe("quickstart", {"train.max_minutes": "2"})
run = talewright.fit(recipe)
print(run.evaluate())
print(run.tell("Once upon a time").text)
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from talewright import __version__
from talewright.config import BUDGETS, Recipe, load_recipe, recipe_from_dict, recipe_to_dict, recipe_to_yaml
from talewright.data import Batches, Corpus, Split, prepare, tokenize_source
from talewright.data.sources import from_anywhere
from talewright.errors import UserError
from talewright.evaluate.likelihood import Likelihood, score_stories
from talewright.files import read_json, reject_outside_links, write_json, write_text_atomic
from talewright.generate.engine import Engine, Story
from talewright.generate.quantization import Precision
from talewright.generate.sampling import Sampling
from talewright.machine import choose_precision, default_device, keep_heap, torch_dtype
from talewright.model.gpt import GPT
from talewright.run.checkpoint import INITIAL, load_model
from talewright.run.lock import owned
from talewright.run.retention import whole_checkpoint
from talewright.tokenizer import Tokenizer
from talewright.train.preflight import check_disk, check_memory

if TYPE_CHECKING:
    from talewright.train.distillation import Teacher
    from talewright.train.distributed import Launched
    from talewright.train.loop import Outcome
    from talewright.train.progress import Display

SAMPLE = Sampling(temperature=0.8, top_p=0.95, max_new_tokens=200)
"""How stories are told where nothing else is said."""
DATA = "data.json"
"""What a run folder notes of its stories, their source and the fingerprint of the prepared ones; and of its teacher."""


class Run:
    """A run folder: the recipe, the tokenizer and the model that it holds."""

    def __init__(self, folder: str | Path, checkpoint: str = "best", precision: Precision = "fp32") -> None:
        """Open a run folder at a checkpoint: `best`, `last` or a step. `precision` is that of the weights that stories
        are told with. Raises UserError where there is no such run or checkpoint.
        """
        self.folder = Path(folder)
        self.precision: Precision = precision
        self.recipe = run_recipe(self.folder)
        self.checkpoint = whole_checkpoint(self.folder, checkpoint, lambda words: print(words, file=sys.stderr))

    @cached_property
    def tokenizer(self) -> Tokenizer:
        return Tokenizer.load(self.folder / "tokenizer")

    @cached_property
    def model(self) -> GPT:
        """The trained model, in evaluation mode, on this machine's best device."""
        model = GPT(self.recipe.model)
        load_model(self.checkpoint, model)
        return model.to(default_device()).eval()

    @cached_property
    def engine(self) -> Engine:
        """What tells stories with the model."""
        notify = functools.partial(print, file=sys.stderr)
        return Engine(self.model, self.tokenizer, notify, self.precision)

    def tell(self, prompt: str = "", sampling: Sampling = SAMPLE) -> Story:
        """A story that begins with the prompt."""
        return self.engine.tell([prompt], sampling)[0]

    def stream(self, prompt: str = "", sampling: Sampling = SAMPLE) -> Iterator[str]:
        """A story in pieces of text, each as soon as it is told."""
        return self.engine.stream(prompt, sampling)

    def evaluate(self, data: str | None = None) -> Likelihood:
        """Loss, perplexity, bits per byte and accuracy on the validation stories, or on all the stories of `data`."""
        return self._score(self.model, data)

    def evaluate_untrained(self, data: str | None = None) -> Likelihood:
        """The same of the model as it was before training."""
        return self._score(self.untrained_model(), data)

    def untrained_model(self) -> GPT:
        """The model as it was before training, on this machine's best device."""
        model = new_model(self.recipe)
        if (self.folder / INITIAL).is_dir():
            load_model(self.folder / INITIAL, model)
        return model.to(default_device())

    def export(
        self,
        folder: str | Path,
        to: str = "hf",
        dtype: str | None = None,
        overwrite: bool = False,
        push: str | None = None,
    ) -> dict[str, Any]:
        """Write the model in a form that other programs read, prove that it computes the same, and say what was done.

        With `push`, the folder goes to that repository of the hub. Raises UserError, with nothing half-written, where
        the form cannot hold the model or the folder holds something else.
        """
        from talewright.export import Source, export_model
        from talewright.inspect.curves import draw_curves

        with suppress(UserError):  # an imported run has no curves to show
            draw_curves(self.folder)

        source = Source(
            recipe=self.recipe,
            model=copy.deepcopy(self.model).cpu().float(),
            tokenizer=self.tokenizer,
            run=self.folder,
            checkpoint=self.checkpoint.name,
        )
        return export_model(source, to, Path(folder), dtype, overwrite, push)

    def corpus(self) -> Corpus:
        """The prepared stories that the run learned from. Raises UserError where they are not at hand, or others."""
        corpus = open_corpus(self.recipe)
        if corpus.tokenizer.fingerprint != self.tokenizer.fingerprint:
            raise UserError(
                f"{corpus.folder} was prepared with another tokenizer than {self.folder}; name stories by --data"
            )
        return corpus

    def stories(self, data: str | None = None) -> tuple[list[np.ndarray], np.ndarray]:
        """Ids and UTF-8 bytes of each of the run's validation stories, or of all the stories of `data`."""
        if data is not None:
            return tokenize_source(dataclasses.replace(self.recipe.data, source=data, limit=None), self.tokenizer)
        return first_stories(self.corpus().split("valid"), None)

    def _score(self, model: GPT, data: str | None) -> Likelihood:
        stories, sizes = self.stories(data)
        keep_heap()
        with autocast(self.recipe.train.precision):
            return score_stories(model, stories, sizes, self.tokenizer.eos_id)


def load(folder: str | Path, checkpoint: str = "best", precision: Precision = "fp32") -> Run:
    """Open a run folder."""
    return Run(folder, checkpoint, precision)


def fit(recipe: Recipe, out: str | Path | None = None, display: Display | None = None) -> Run:
    """Train the recipe into the folder `out` (by default the next free one under runs/) and open it.

    Raises UserError at whatever is wrong with the recipe, the data or the folder, and KeyboardInterrupt, the run
    being saved, where it is stopped by a signal.
    """
    folder = new_run_folder(recipe, out)
    return _finished(folder, start(recipe, folder, display))


def resume(folder: str | Path, overrides: Mapping[str, str] | None = None, display: Display | None = None) -> Run:
    """Go on with a run that was stopped, as if it never had been. Overrides may give it a new budget."""
    return _finished(Path(folder), go_on(Path(folder), overrides or {}, display))


def start(recipe: Recipe, folder: Path, display: Display | None = None) -> Outcome:
    """Train the recipe into a new run folder."""
    from talewright.train.distillation import open_teacher
    from talewright.train.distributed import launch

    launched = launch(recipe)  # before the folder is made: every process finds it free
    with launched.fabric.rank_zero_first():
        corpus = open_corpus(recipe)
    recipe = _from_anywhere(recipe)
    batches, teacher = _batches(recipe, corpus), open_teacher(recipe, corpus)
    _check_room(recipe, launched, folder, teacher)
    with _owned(folder, launched):
        if launched.fabric.is_global_zero:
            new_run_folder(recipe, folder)  # another may have begun one here since
            _write_run(recipe, corpus, folder, teacher)
        return _fit(recipe, launched, corpus, batches, folder, display, resume=False, teacher=teacher)


def go_on(folder: Path, overrides: Mapping[str, str], display: Display | None = None) -> Outcome:
    """Train on from the newest whole checkpoint of a run folder; without one, from the beginning."""
    from talewright.train.distillation import open_teacher
    from talewright.train.distributed import launch

    recipe = run_recipe(folder, overrides)
    launched = launch(recipe)
    with launched.fabric.rank_zero_first():
        corpus = open_corpus(recipe)
    check_same_stories(folder, corpus)
    batches, teacher = _batches(recipe, corpus), open_teacher(recipe, corpus, _noted(folder).get("teacher", {}))
    _check_room(recipe, launched, folder, teacher)
    with _owned(folder, launched):
        if overrides and launched.fabric.is_global_zero:
            _say_new_budget(run_recipe(folder), recipe)
            with _writing(folder):
                write_text_atomic(folder / "recipe.yaml", recipe_to_yaml(recipe))
        return _fit(recipe, launched, corpus, batches, folder, display, resume=True, teacher=teacher)


def check_same_stories(folder: Path, corpus: Corpus) -> None:
    """Raise UserError where the prepared stories are not those that the run began with."""
    if corpus.tokenizer.fingerprint != Tokenizer.load(folder / "tokenizer").fingerprint:
        raise UserError(f"the stories have changed since {folder} began: they now give another tokenizer")
    if not (folder / DATA).exists():  # an imported run, or an older one: it has not noted its stories
        return
    noted = _noted(folder)
    if noted.get("fingerprint") != corpus.fingerprint:
        raise UserError(
            f"{folder} began with other stories than {corpus.folder} holds: {noted.get('source') or 'its source'} has "
            "changed since. Put back what it was, or train anew into another folder"
        )


def _noted(folder: Path) -> dict[str, Any]:
    """What the run noted when it began; nothing where it has not."""
    noted = read_json(folder / DATA)
    return noted if isinstance(noted, dict) else {}


def run_recipe(folder: Path, overrides: Mapping[str, str] | None = None) -> Recipe:
    """The recipe of a run folder. Raises UserError where it is none."""
    if not (folder / "recipe.yaml").is_file():
        why = "it has no recipe.yaml" if folder.is_dir() else "there is no such folder"
        raise UserError(f"{folder} is not a run folder: {why}. `talewright train` makes one, under runs/")
    reject_outside_links(folder)
    try:
        load_recipe(folder / "recipe.yaml")
    except UserError as error:  # not what was asked for, but what stands there
        raise UserError(
            f"{folder}/recipe.yaml does not fit talewright {__version__}; it may be another version's: {error}"
        ) from None
    recipe = load_recipe(folder / "recipe.yaml", overrides)
    if recipe.tokenizer.kind == "saved":  # its own copy, wherever the folder was moved
        own = dataclasses.replace(recipe.tokenizer, source=str((folder / "tokenizer").resolve()))
        recipe = dataclasses.replace(recipe, tokenizer=own)
    return recipe


def new_run_folder(recipe: Recipe, out: str | Path | None = None) -> Path:
    """The folder of a new run: `out`, or the next free runs/NAME-N. Raises UserError where it holds a run already."""
    if out is None:
        return next(path for n in count(1) if not (path := Path("runs") / f"{recipe.name}-{n}").exists())
    folder = Path(out)
    if folder.is_file():
        raise UserError(f"{folder} is a file; --out names a folder for the run")
    if (folder / "recipe.yaml").exists():
        raise UserError(f"{folder} holds a run already; go on with --resume {folder}, or name another folder by --out")
    return folder


def open_corpus(recipe: Recipe) -> Corpus:
    """The recipe's prepared stories, prepared now where they are not yet."""
    corpus = prepare(recipe.data, recipe.tokenizer, recipe.model.vocab_size)
    size, room = corpus.tokenizer.vocab_size, recipe.model.vocab_size
    if size > room:
        raise UserError(
            f"model.vocab_size is {room}, and the tokenizer {recipe.tokenizer.kind} has {size} tokens; set it to {size}"
        )
    return corpus


def new_model(recipe: Recipe) -> GPT:
    """The recipe's model before training."""
    torch.manual_seed(recipe.seed)
    return GPT(recipe.model)


def first_stories(split: Split, number: int | None) -> tuple[list[np.ndarray], np.ndarray]:
    """The first `number` stories of a split (all: None), as token ids, and their sizes in bytes."""
    number = split.n_stories if number is None else min(number, split.n_stories)
    return [split.story(i) for i in range(number)], split.story_bytes[:number]


def autocast(precision: str) -> AbstractContextManager:
    """A context in which matrix products run at that precision on the default device."""
    device = default_device()
    chosen = choose_precision(precision if precision != "fp16" or device.type == "cuda" else "auto", device)
    return nullcontext() if chosen == "fp32" else torch.autocast(device.type, torch_dtype(chosen))


def further_recipe(run: str | Path, recipe: str | None, overrides: Mapping[str, str]) -> Recipe:
    """The recipe by which a run's model is trained further, into a run of its own: the model and the tokenizer are that
    run's, the rest is `recipe`'s (without one, that run's too).
    """
    own = run_recipe(Path(run))
    values = recipe_to_dict(load_recipe(recipe) if recipe else own)
    values["model"] = recipe_to_dict(own)["model"]
    values["tokenizer"] = {"kind": "saved", "source": str((Path(run) / "tokenizer").resolve())}
    values["train"]["init_from"] = str(run)
    return recipe_from_dict(values, f"{recipe or run}", overrides)


def _from_anywhere(recipe: Recipe) -> Recipe:
    """The recipe with whole paths: its run finds stories and other runs whatever folder it is opened from."""
    data, tokenizer = recipe.data, recipe.tokenizer
    named = {name: getattr(data, name) for name in ("source", "valid", "test")}
    data = dataclasses.replace(data, **{name: value and from_anywhere(value) for name, value in named.items()})
    if Path(tokenizer.source).expanduser().is_dir():  # else a name on the hub
        tokenizer = dataclasses.replace(tokenizer, source=from_anywhere(tokenizer.source))
    runs = {name: getattr(recipe.train, name) for name in ("init_from", "teacher")}
    runs = {name: run and str(Path(run).expanduser().absolute()) for name, run in runs.items()}
    train = dataclasses.replace(recipe.train, **runs)
    return dataclasses.replace(recipe, data=data, tokenizer=tokenizer, train=train)


def _initial_weights(recipe: Recipe, tokenizer: Tokenizer) -> Path | None:
    """The file of the weights that the recipe begins with, where those are another run's. Raises UserError where they
    do not fit it.
    """
    if recipe.train.init_from is None:
        return None
    source = Run(recipe.train.init_from)
    load_model(source.checkpoint, GPT(recipe.model))
    if source.tokenizer.fingerprint != tokenizer.fingerprint:
        raise UserError(f"{source.folder} has another tokenizer than these stories were prepared with")
    return source.checkpoint / "model.safetensors"


def _check_room(recipe: Recipe, launched: Launched, folder: Path, teacher: Teacher | None) -> None:
    """Raise UserError where the disk or the memory would not do; a GPU's memory is not looked at."""
    if launched.fabric.is_global_zero:
        check_disk(recipe, folder)
    if launched.fabric.device.type == "cpu":
        shape = teacher and teacher.model.config
        check_memory(recipe, launched.precision, recipe.train.devices, teacher=shape)


def _owned(folder: Path, launched: Launched) -> AbstractContextManager[None]:
    return owned(folder) if launched.fabric.is_global_zero else nullcontext()


def _write_run(recipe: Recipe, corpus: Corpus, folder: Path, teacher: Teacher | None) -> None:
    """Begin a run folder; its recipe comes last, and makes it one."""
    initial = _initial_weights(recipe, corpus.tokenizer)
    noted: dict[str, Any] = {"source": recipe.data.source, "fingerprint": corpus.fingerprint}
    if teacher is not None:
        noted["teacher"] = teacher.source
    with _writing(folder):
        corpus.tokenizer.save(folder / "tokenizer")
        if initial is not None:  # a copy of its own: the other run may change, or go
            (folder / INITIAL).mkdir(exist_ok=True)
            shutil.copyfile(initial, folder / INITIAL / "model.safetensors")
        write_json(folder / DATA, noted)
        write_text_atomic(folder / "recipe.yaml", recipe_to_yaml(recipe))


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot write the run folder {folder}: {error.strerror}; name another by --out") from None


def _say_new_budget(old: Recipe, new: Recipe) -> None:
    before, after = (
        ", ".join(f"{name} {value:,}" for name in BUDGETS if (value := getattr(recipe.train, name[6:])) is not None)
        for recipe in (old, new)
    )
    if before != after:
        print(f"a new budget, and with it a new schedule from here on: {after} (was {before})", file=sys.stderr)


def _batches(recipe: Recipe, corpus: Corpus) -> Batches:
    data, length = recipe.data, recipe.sequence_length
    split = corpus.split("train")
    return Batches(split, context_length=length, layout=data.layout, stride=data.stride, seed=recipe.seed)


def _fit(
    recipe: Recipe,
    launched: Launched,
    corpus: Corpus,
    batches: Batches,
    folder: Path,
    display: Display | None,
    resume: bool,
    teacher: Teacher | None,
) -> Outcome:
    from talewright.train.loop import Watch
    from talewright.train.loop import fit as fit_model
    from talewright.train.progress import Display

    stories, sizes = first_stories(corpus.split("valid"), recipe.train.evaluate_stories)
    tokenizer = corpus.tokenizer

    def evaluate(model: GPT) -> Likelihood:
        return score_stories(model, stories, sizes, tokenizer.eos_id)

    def tell(model: GPT, prompt: str, seed: int) -> str:
        return (
            Engine(model, tokenizer, notify=lambda words: None)
            .tell([prompt], dataclasses.replace(SAMPLE, seed=seed))[0]
            .text
        )

    watch = Watch(evaluate, tell, display or Display())
    return fit_model(recipe, launched, batches, folder, watch, resume=resume, teacher=teacher)


def _finished(folder: Path, outcome: Outcome) -> Run:
    if outcome.signal is not None:
        raise KeyboardInterrupt(f"stopped and saved; talewright.resume({str(folder)!r}) goes on")
    return Run(folder)
