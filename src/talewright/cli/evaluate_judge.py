"""The command `evaluate judge`."""

import math
import os
from pathlib import Path

from tyro.conf import OmitArgPrefixes

from talewright.cli.common import Checkpoint, Device, FileOptions, Json, RunArgument, Seed, read_prompts, to_json
from talewright.cli.words import show
from talewright.errors import UserError

DAY = 86_400
"""Seconds."""


def evaluate_judge(
    run: RunArgument,
    url: str,
    model: str,
    key_variable: str = "OPENAI_API_KEY",
    stories: int = 50,
    gradings: int = 1,
    human: bool = False,
    prompts: str | None = None,
    data: str | None = None,
    file: OmitArgPrefixes[FileOptions] = FileOptions(),  # noqa: B008  (it is immutable)
    checkpoint: Checkpoint = "best",
    device: Device = None,
    seed: Seed = 0,
    concurrency: int = 4,
    max_requests: int = 1000,
    price_in: float | None = None,
    price_out: float | None = None,
    timeout: float = 120.0,
    estimate: bool = False,
    json: Json = False,
) -> None:
    """Have a large language model grade a run's stories: grammar, creativity, consistency, plot, the writer's age.

    The run continues the first part of held-out stories. Any server with OpenAI's chat completions API works, also on
    this machine; only the stories are sent to it. No other command needs a judge or a network.
    The cost is shown before it starts. Each grade is kept in RUN/judge.jsonl: the same command again asks only for
    what is missing. RUN/judge.json holds the result.

    Args:
        url: The server's address up to the version, such as http://localhost:8000/v1.
        model: The judge's name on that server.
        key_variable: Environment variable that holds the server's key, if it needs one. The key is never written.
        stories: Number of stories to grade.
        gradings: Number of times to grade each story. With 2, the judge's agreement with itself is reported
            (weighted kappa).
        human: Grade the original continuations of the held-out stories instead, for comparison.
        prompts: File with a prompt on each line, instead of held-out stories.
        data: Stories to take prompts from. Default: the run's own validation stories.
        concurrency: Number of requests at a time.
        max_requests: Refuse to start if more requests than this are needed.
        price_in: Price of a million input tokens of the judge, to show the cost.
        price_out: Price of a million output tokens of the judge.
        timeout: Seconds to wait for an answer.
        estimate: Only show the cost; send nothing.
    """
    counts = {"stories": stories, "gradings": gradings, "concurrency": concurrency, "max-requests": max_requests}
    for name, value in counts.items():
        if value < 1:
            raise UserError(f"--{name} is {value}; it must be 1 or more")
    if not 0 < timeout <= DAY:
        raise UserError(f"--timeout is {timeout}; it is in seconds and must be above 0, and at most {DAY:,}")
    if human and prompts is not None:
        raise UserError("--human grades whole held-out stories, but --prompts has only prompts; give one of them")
    prices = _prices(price_in, price_out)
    from talewright.evaluate.judge.endpoint import Endpoint
    from talewright.evaluate.judge.judge import JudgeOptions, judge_run, judge_table

    options = JudgeOptions(
        stories=stories,
        gradings=gradings,
        human=human,
        prompts=tuple(read_prompts(prompts)) if prompts is not None else (),
        data=data,
        reading=file.reading(data),
        checkpoint=checkpoint,
        device=device,
        seed=seed,
        concurrency=concurrency,
        max_requests=max_requests,
        prices=prices,
        estimate_only=estimate,
    )
    endpoint = Endpoint(url=url, model=model, key=os.environ.get(key_variable), timeout=timeout)
    result = judge_run(Path(run), endpoint, options)
    show(to_json(result) if json else judge_table(result))


def _prices(price_in: float | None, price_out: float | None) -> tuple[float, float] | None:
    """Both prices, or None. Raises UserError if one is missing, or is no price."""
    for name, price in (("price-in", price_in), ("price-out", price_out)):
        if price is not None and not 0 <= price < math.inf:
            raise UserError(f"--{name} is {price}; it must be 0 or more, and finite")
    if price_in is not None and price_out is not None:
        return price_in, price_out
    if price_in is not None or price_out is not None:
        raise UserError("give --price-in and --price-out together")
    return None
