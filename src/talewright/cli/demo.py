"""The command `demo`."""

from talewright.cli.common import exit_if_stopped, hint_on_stop, logger, print_story
from talewright.config import load_recipe

NEXT_STEPS = """
The training curves are in {curves}. What to try next:
  talewright generate {folder} --prompt "One day, a dragon"
  talewright train --recipe mini-2m --data stories.txt --max-minutes 30     # your own stories
  talewright recipes                                                        # what else you can train"""


def demo(out: str | None = None) -> None:
    """Train the recipe `quickstart` on the bundled stories, in about two minutes, and print stories that it generates.

    Args:
        out: Folder of the run. Default: the next free one under runs/.
    """
    from talewright import api
    from talewright.cli.tables import score_table
    from talewright.generate.sampling import Sampling
    from talewright.inspect.curves import draw_curves
    from talewright.run.folder import new_run_path
    from talewright.train.session import start_run

    recipe = load_recipe("quickstart")
    folder = new_run_path(recipe, out)
    logger.info("A small GPT learns to write stories, from scratch, on this machine. About two minutes.\n")
    with hint_on_stop(folder):
        outcome = start_run(recipe, folder, api.CALLBACKS)
    exit_if_stopped(outcome, folder)
    run = api.load(folder)
    print(score_table({"untrained": run.evaluate(untrained=True), "trained": run.evaluate()}))
    for seed, prompt in enumerate(recipe.train.prompts):
        print()
        print_story(run, prompt, Sampling(seed=seed))
    print()
    logger.info("%s", NEXT_STEPS.format(curves=draw_curves(folder), folder=folder))
