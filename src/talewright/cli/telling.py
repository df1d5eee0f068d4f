"""Commands that tell stories with a run, and score them."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from tyro.conf import FlagCreatePairsOff, Positional

from talewright.cli.shared import dump, stream
from talewright.errors import UserError


def evaluate(
    run: Positional[str],
    data: str | None = None,
    checkpoint: str = "best",
    json: FlagCreatePairsOff[bool] = False,
) -> None:
    """Score a run on held-out stories: loss, perplexity, bits per byte, token accuracy, beside the untrained model.

    Whole stories, real tokens alone, each scored once.

    Args:
        run: Run folder.
        data: Stories to score on, all of them; the run's own validation stories unless told.
        checkpoint: best, last, or a step.
        json: Print JSON.
    """
    from dataclasses import asdict

    from talewright import api
    from talewright.listing import score_table

    opened = api.load(run, checkpoint)
    trained, untrained = opened.evaluate(data), opened.evaluate_untrained(data)
    if json:
        print(dump({**asdict(trained), "checkpoint": opened.checkpoint.name, "untrained": asdict(untrained)}))
    else:
        print(score_table({"untrained": untrained, "trained": trained}))


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
    beginnings = _prompts(prompt, prompts)
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
    stories = opened.engine.tell([text for text in beginnings for _ in range(samples)], sampling)
    if json:
        keys = ("prompt", "text", "new_tokens", "finished")
        print(dump([{key: getattr(story, key) for key in keys} for story in stories]))
    else:
        print("\n\n---\n\n".join(story.text for story in stories))


def _prompts(prompt: str | None, file: str | None) -> list[str]:
    if file is None:
        return [prompt or ""]
    if prompt is not None:
        raise UserError("give --prompt or --prompts, not both")
    try:
        lines = Path(file).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--prompts {file} cannot be read: {error}") from None
    found = [line for line in lines if line.strip()]
    if not found:
        raise UserError(f"--prompts {file} is empty; it holds the beginning of a story on each line")
    return found
