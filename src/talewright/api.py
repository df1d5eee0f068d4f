"""The public Python API: what the command line does, for a notebook or a script.

import talewright

recipe = talewright.load_recipe("quickstart", {"train.max_minutes": "2"})
run = talewright.fit(recipe)
print(run.evaluate())
print(run.generate("Once upon a time").text)
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from talewright.config import Recipe
from talewright.errors import UserError
from talewright.evaluate.likelihood import Likelihood, check_finite, score_stories
from talewright.generate.engine import Engine, Sample
from talewright.generate.quantization import WeightPrecision
from talewright.generate.sampling import Sampling
from talewright.machine import autocast, choose_device, gpu_memory_errors, keep_heap
from talewright.model.gpt import GPT
from talewright.run import RunFolder
from talewright.run.included import INCLUDED
from talewright.run.new_folder import new_run_path
from talewright.tokenizer import Tokenizer
from talewright.train.hooks import Callbacks

if TYPE_CHECKING:
    import torch

    from talewright.train.loop import Outcome
    from talewright.train.progress import TrainingProgress


class Run(RunFolder):
    """A run folder with its model loaded when it is first needed."""

    def __init__(
        self,
        path: str | Path = INCLUDED,
        checkpoint: str = "best",
        precision: WeightPrecision = "fp32",
        device: str | torch.device | None = None,
    ) -> None:
        """Open a run, by default the included model, at a checkpoint: `best`, `last` or a step. `precision` is that of
        the weights for generation. `device` is where to compute: `cpu`, `cuda`, `cuda:N` or `mps`, by default this
        machine's best.

        Raises UserError if there is no such run, checkpoint or device.
        """
        super().__init__(path)
        self.precision: WeightPrecision = precision
        self.which, self.loaded_checkpoint = checkpoint, self.checkpoint(checkpoint)
        self.device = choose_device(device)

    @cached_property
    def model(self) -> GPT:
        """The trained model, in evaluation mode, on `device`."""
        step = self.loaded_checkpoint.name.removeprefix("step-")
        try:
            model, self.loaded_checkpoint = self.load_model(step, self.device)
        except UserError:
            if self.loaded_checkpoint.is_dir():
                raise
            model, self.loaded_checkpoint = self.load_model(self.which, self.device)  # training has replaced it since
        return model

    @cached_property
    def engine(self) -> Engine:
        return Engine(self.model, self.tokenizer, precision=self.precision, draft=self.draft())

    def generate(self, prompt: str = "", sampling: Sampling | None = None) -> Sample:
        """Generate a story that begins with the prompt. Unset settings: `Sampling()`, whole stories."""
        with gpu_memory_errors(self.device):
            return self.engine.generate([prompt], sampling)[0]

    def stream(self, prompt: str = "", sampling: Sampling | None = None) -> Iterator[str]:
        """Generate a story and yield its text piece by piece."""
        with gpu_memory_errors(self.device):
            yield from self.engine.stream(prompt, sampling)

    def evaluate(self, data: str | None = None, untrained: bool = False) -> Likelihood:
        """Loss, perplexity, bits per byte and accuracy on the validation stories, or on all the stories of `data`; with
        `untrained`, of the model before training.
        """
        stories, sizes = self.stories(data)
        model = self.initial_model(self.device) if untrained else self.model
        keep_heap()
        with gpu_memory_errors(self.device), autocast(self.recipe.train.precision, self.device):
            likelihood = score_stories(model, stories, sizes, self.tokenizer.separator)
        check_finite(likelihood.loss, self.path)
        return likelihood

    def export(
        self,
        folder: str | Path,
        to: str = "hf",
        dtype: str | None = None,
        overwrite: bool = False,
        push: str | None = None,
        license: str | None = None,
    ) -> dict[str, Any]:
        """Write the model in another program's format, verify that it computes the same, and return the record.

        Where the packages that verify it are not installed, it is written, and the record has `verified` False. With
        `push`, upload the folder to that repository on the hub. `license` is that of the weights, by the hub's name for
        it, such as "cc-by-4.0". Raises UserError, with nothing written, if the format cannot hold the model or the
        folder holds something else.
        """
        from talewright.export import ExportSource, check_export, check_license, export_model
        from talewright.inspect.curves import draw_curves

        check_export(Path(self.label), self.recipe.model, to, Path(folder), dtype, overwrite)
        if not self.included:  # whose folder is left as it is
            with suppress(UserError):  # an imported run has no curves
                draw_curves(self.path)
        source = ExportSource(
            recipe=self.recipe,
            model=copy.deepcopy(self.model).cpu().float(),
            tokenizer=self.tokenizer,
            run=self.path,
            checkpoint=self.loaded_checkpoint.name,
            license=license and check_license(license),
        )
        return export_model(source, to, Path(folder), dtype, overwrite, push)


def load(
    path: str | Path = INCLUDED,
    checkpoint: str = "best",
    precision: WeightPrecision = "fp32",
    device: str | torch.device | None = None,
) -> Run:
    """Open a run folder, by default the model that comes with Talewright; the values are those of `Run`."""
    return Run(path, checkpoint, precision, device)


def plan_recipe(
    minutes: float, data: str | None = None, overrides: Mapping[str, str] | None = None, ladder: str = "story"
) -> Recipe:
    """The recipe of that ladder (`story`, or `storyx`: learns more, fewer exports) that reaches the lowest loss in that
    many minutes on this machine, for these stories (by default the bundled ones). Overrides win. Raises UserError if
    something is wrong with the time, the data or a setting.
    """
    from talewright.scaling.plan import choose

    source = {} if data is None else {"data.source": json.dumps(data)}
    plan, goal = choose(minutes, {**source, **(overrides or {})}, ladder)
    return plan.recipe(goal.overrides)


def fit(
    recipe: Recipe, out: str | Path | None = None, progress: TrainingProgress | None = None, force: bool = False
) -> Run:
    """Train the recipe into the folder `out` (by default the next free one under runs/) and open the run.

    A run that is estimated not to fit in the memory is refused; with `force` it is only warned of.

    Raises UserError if something is wrong with the recipe, the data or the folder; KeyboardInterrupt, with the run
    saved, if a signal stops it.
    """
    from talewright.train.session import start_run

    path = new_run_path(recipe, out)
    return _finished(path, start_run(recipe, path, CALLBACKS, progress, force))


def resume(
    path: str | Path,
    overrides: Mapping[str, str] | None = None,
    progress: TrainingProgress | None = None,
    force: bool = False,
) -> Run:
    """Resume a stopped run, bit-for-bit. Overrides may give it a new budget. `force` is that of `fit`."""
    from talewright.train.session import resume_run

    return _finished(Path(path), resume_run(Path(path), overrides or {}, CALLBACKS, progress, force))


def _sample(model: GPT, tokenizer: Tokenizer, prompt: str, seed: int) -> str:
    sampling = Sampling(max_new_tokens=200, seed=seed)  # a part of a story, so that training does not wait
    return Engine(model, tokenizer, notify=lambda message: None).generate([prompt], sampling)[0].text


def _finished(path: Path, outcome: Outcome) -> Run:
    if outcome.signal is not None:
        raise KeyboardInterrupt(f"stopped and saved; talewright.resume({str(path)!r}) resumes it")
    return Run(path)


CALLBACKS = Callbacks(evaluate=score_stories, generate=_sample)
"""The evaluator and the sample generator that training is given."""
