"""The command `demo`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from talewright.cli.common import exit_if_stopped, hint_on_stop, logger, print_story, program
from talewright.cli.words import print_pieces, show
from talewright.config import PROMPTS, Recipe, load_recipe
from talewright.files import shell_word

if TYPE_CHECKING:
    from talewright.api import Run
    from talewright.evaluate.likelihood import Likelihood

PROMPT = "Once upon a time"
"""What the samples begin with that show how the model learns."""
SCORED = 100
"""Number of validation stories that are scored."""
LEARNED = 0.25
"""A model that has not come down to this fraction of the untrained model's bits per byte writes no sense: some hundred
steps on the bundled stories."""

GOAL = """The model that comes with Talewright learned from TinyStories for {minutes:,.0f} minutes. It writes:
"""
START = """
Now yours, from scratch, on this machine. Talewright prepares the bundled stories,
trains a smaller model for {minutes:g} minutes, and then writes three stories: a few
minutes in all. At first it writes nonsense; watch it learn.
"""
NOT_LEARNED = """
This model has not learned enough: it made {steps:,} steps, and the stories below
make little sense. Other programs may keep this machine busy. Give it more time:
  {program} demo --minutes {minutes:g}"""
NEXT_STEPS = """
The training curves are in {curves}
What to try next:

  Another story:
    {program} generate {folder} --prompt "One day, a dragon"
  What the model looks at, as a page for the browser:
    {program} inspect {folder}
  A model of your own stories, as large as 20 minutes allow:
    {program} train --data stories.txt --minutes 20"""


def demo(minutes: float | None = None, out: str | None = None, again: bool = False) -> None:
    """Show a story of the included model, train a first model on the bundled stories, show how it learns, and print
    three stories that it generates.

    A second demo uses the model of the first one, or finishes its training.

    Args:
        minutes: Minutes of training. Default: 1.5.
        out: Folder of the run. Default: the newest runs/demo-N.
        again: Train another model, even if there is one of an earlier demo.
    """
    values = {"name": "demo", "train.prompts": f'["{PROMPT}"]', "train.evaluate_stories": str(SCORED)}
    if minutes is not None:
        values["train.max_minutes"] = str(minutes)
    recipe = load_recipe("quickstart", values)

    from talewright import api
    from talewright.cli.tables import score_table
    from talewright.generate.sampling import Sampling
    from talewright.inspect.curves import draw_curves
    from talewright.run.new_folder import new_run_path

    earlier = None if again else _earlier_run(out, minutes)
    folder = earlier or new_run_path(recipe, out)
    _train(recipe, folder, resume=earlier is not None)
    run = api.load(folder)
    _show_samples(run)
    scores = _scores(run)
    show(score_table(scores))
    if scores["trained"].bits_per_byte > LEARNED * scores["untrained"].bits_per_byte:
        more = max(10.0, 4 * (run.recipe.train.max_minutes or 0))
        logger.info("%s", NOT_LEARNED.format(steps=run.history().steps, program=program(), minutes=more))
    for seed, prompt in enumerate(PROMPTS[:3]):
        show()
        print_story(run, prompt, Sampling(seed=seed))
    logger.info("%s", NEXT_STEPS.format(curves=draw_curves(folder), folder=shell_word(str(folder)), program=program()))


def _earlier_run(out: str | None, minutes: float | None) -> Path | None:
    """The run of an earlier demo with that training time, if there is one that can be used."""
    from talewright.run.folder import RunFolder
    from talewright.run.listing import summarize

    numbered = {int(path.name[5:]): path for path in Path("runs").glob("demo-*") if path.name[5:].isdecimal()}
    folder = Path(out) if out else numbered[max(numbered)] if numbered else None
    if folder is None or not RunFolder.is_run(folder) or summarize(folder).state not in ("finished", "stopped"):
        return None
    trained = RunFolder(folder).recipe.train.max_minutes
    if minutes not in (None, trained):
        logger.info("%s was given %g minutes; this is another run", folder, trained or 0)
        return None
    return folder


def _train(recipe: Recipe, folder: Path, resume: bool) -> None:
    from talewright.api import CALLBACKS
    from talewright.run.listing import summarize
    from talewright.train.session import resume_run, start_run

    if resume and summarize(folder).state == "finished":
        logger.info("%s is the model of an earlier demo. To train another: %s demo --again", folder, program())
        return
    with hint_on_stop(folder):
        if resume:
            logger.info("%s was stopped; its training continues", folder)
            outcome = resume_run(folder, {}, CALLBACKS)
        else:
            _show_goal()
            logger.info("%s", START.format(minutes=recipe.train.max_minutes))
            outcome = start_run(recipe, folder, CALLBACKS)
    exit_if_stopped(outcome, folder)


def _show_goal() -> None:
    """Print a story of the included model."""
    from talewright import api
    from talewright.generate.sampling import Sampling
    from talewright.run.checkpoint import read_state

    included = api.load()
    logger.info("%s", GOAL.format(minutes=read_state(included.loaded_checkpoint).seconds / 60))
    print_story(included, PROMPT, Sampling())


def _show_samples(run: Run, moments: int = 4) -> None:
    """Print how the model continued the same prompt at some moments of its training, from the first one to the last."""
    from talewright.live.progress import spread

    samples = run.history().samples
    if len(samples) < 2:
        return
    show("\nHow it learned:")
    for index in spread(len(samples), moments):
        step, text = samples[index]["step"], " ".join(str(samples[index]["text"]).split())
        show()
        print_pieces([f"after {step:,} steps: " if step else "untrained: ", text[:200], " ..." * (len(text) > 200)])


def _scores(run: Run) -> dict[str, Likelihood]:
    """How well the model before and after training predicts the validation stories that training evaluated."""
    from talewright.evaluate.likelihood import score_stories
    from talewright.machine import autocast
    from talewright.run.evaluated import evaluated_stories

    evaluated = evaluated_stories(run, run.corpus())
    logger.info("\nscoring %s, before and after training ...", evaluated)
    with autocast(run.recipe.train.precision, run.device):
        return {
            name: score_stories(model, evaluated.tokens, evaluated.sizes, run.tokenizer.separator)
            for name, model in (("untrained", run.initial_model(run.device)), ("trained", run.model))
        }
