"""Commands that tell stories with a run, here or in the browser, and score them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

from tyro.conf import FlagCreatePairsOff, Positional

from talewright.cli.shared import dump, prompts_of, say, stream
from talewright.errors import UserError


def evaluate(
    runs: Positional[tuple[str, ...]],
    data: str | None = None,
    checkpoint: str = "best",
    only: str | None = None,
    told: int = 200,
    prompts: str | None = None,
    seed: int = 0,
    limit: int | None = None,
    json: FlagCreatePairsOff[bool] = False,
) -> None:
    """Score runs: how likely they find held-out stories, and how good the stories are that they tell.

    The figures go into `scores.json` in each run folder; `talewright scores` makes a page of several.

    Args:
        runs: Run folders, set side by side.
        data: Stories to score on, all of them; each run's own validation stories unless told.
        checkpoint: best, last, or a step.
        only: Parts of the evaluation, with commas between them; all unless told.
        told: Stories that each run tells, to be looked at.
        prompts: File with a beginning of a story on each line, told in turn; each story begins by itself unless told.
        seed: The same seed tells the same stories.
        limit: Score on the first so many held-out stories alone.
        json: Print JSON: of one run an object, of several a list.
    """
    from talewright.evaluate import evaluator as scoring
    from talewright.evaluate.comparison import side_by_side
    from talewright.evaluate.context import Telling
    from talewright.evaluate.tasks import chosen_parts

    names = chosen_parts(only)
    if not runs:
        raise UserError("evaluate needs a run folder, as in: talewright evaluate runs/mini-2m-1")
    for value, name in ((told, "told"), (limit, "limit")):
        if value is not None and value < 1:
            raise UserError(f"--{name} is {value}; it counts stories, so 1 or more")
    sampling = replace(Telling.sampling, seed=seed)
    telling = Telling(stories=told, prompts=tuple(prompts_of(None, prompts)), sampling=sampling)
    asked = scoring.Asked(parts=names, data=data, checkpoint=checkpoint, limit=limit, telling=telling)
    found = scoring.evaluate_runs([Path(run) for run in runs], asked, say)
    if json:  # the likelihood's figures stand at the top as well, where they are looked for first
        answers = [
            {**scores["parts"].get("likelihood", {}), "checkpoint": scores["run"]["checkpoint"], **scores}
            for scores in found
        ]
        print(dump(answers[0] if len(answers) == 1 else answers))
    else:
        print(side_by_side(found))


def scores(runs: Positional[tuple[str, ...]], out: str | None = None) -> None:
    """Set runs that were evaluated side by side on a page of Markdown, the best first.

    Args:
        runs: Run folders that `talewright evaluate` has scored.
        out: File to write the page into; it is printed unless told.
    """
    from talewright.evaluate.comparison import leaderboard
    from talewright.evaluate.evaluator import read_scores
    from talewright.files import write_text_atomic

    if not runs:
        raise UserError("scores needs a run folder, as in: talewright scores runs/mini-2m-1 runs/mini-2m-2")
    names = " ".join(Path(run).name for run in runs)
    text = leaderboard(read_scores([Path(run) for run in runs]), f"talewright scores {names}")
    if out is None:
        print(text, end="")
        return
    try:
        write_text_atomic(Path(out), text)
    except OSError as error:
        raise UserError(f"--out {out} cannot be written: {error.strerror}") from None


def generate(
    run: Positional[str],
    prompt: str | None = None,
    prompts: str | None = None,
    samples: int = 1,
    temperature: float = 0.8,
    top_k: int | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
    repetition_penalty: float = 1.0,
    max_new_tokens: int = 200,
    greedy: FlagCreatePairsOff[bool] = False,
    seed: int = 0,
    checkpoint: str = "best",
    precision: Literal["fp32", "bf16", "fp16", "int8"] = "fp32",
    json: FlagCreatePairsOff[bool] = False,
) -> None:
    """Tell stories with a trained run, as they are generated.

    Args:
        run: Run folder.
        prompt: Beginning of the story; without one the model begins by itself.
        prompts: File with a beginning on each line, told in one batch.
        samples: Stories told from each beginning.
        temperature: Below 1 keeps to what is likely, above 1 takes more chances, 0 always takes the likeliest.
        top_k: Choose among this many likeliest tokens.
        top_p: Choose among the likeliest tokens that together have this probability.
        min_p: Choose among tokens at least this likely, as a share of the likeliest one's probability.
        repetition_penalty: Above 1 makes tokens already told less likely.
        max_new_tokens: Longest continuation, in tokens; a story that ends by itself is shorter.
        greedy: Always take the likeliest token, as temperature 0 does.
        seed: The same seed tells the same stories.
        checkpoint: best, last, or a step.
        precision: Of the weights; fewer bits are told faster, int8 fastest of all for one story on a processor.
        json: Print a JSON list of prompt, text, new_tokens and finished.
    """
    from talewright.generate.sampling import Sampling

    if samples < 1:
        raise UserError(f"--samples is {samples}; it counts stories, so 1 or more")
    beginnings = prompts_of(prompt, prompts)
    sampling = Sampling(
        temperature=0.0 if greedy else temperature,
        top_k=top_k,
        top_p=top_p,
        min_p=min_p,
        repetition_penalty=repetition_penalty,
        max_new_tokens=max_new_tokens,
        seed=seed,
    )
    from talewright import api

    opened = api.load(run, checkpoint, precision)
    if not json and len(beginnings) * samples == 1:
        stream(opened, beginnings[0], sampling)
        return
    stories = opened.engine.generate([text for text in beginnings for _ in range(samples)], sampling)
    if json:
        keys = ("prompt", "text", "new_tokens", "finished")
        print(dump([{key: getattr(story, key) for key in keys} for story in stories]))
    else:
        print("\n\n---\n\n".join(story.text for story in stories))


def studio(runs: Positional[tuple[str, ...]] = (), host: str = "127.0.0.1", port: int | None = None) -> None:
    """Open the story studio: a page in the browser that tells stories with your runs, compares them, looks inside, and
    watches one that is being trained.

    Args:
        runs: Run folders; the newest under runs/ unless told.
        host: Address to listen at; this machine alone unless told (0.0.0.0: all that can reach it).
        port: Port to listen at; the first free one from 7860 on unless told.
    """
    from talewright.studio import find_runs, serve

    serve(find_runs(runs), host, port)
