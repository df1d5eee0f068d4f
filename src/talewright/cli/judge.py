"""Commands that go beyond this machine's own scores: a judge over the network, other programs' harnesses."""

from __future__ import annotations

import os
from pathlib import Path

from tyro.conf import FlagCreatePairsOff, Positional

from talewright.cli.shared import dump, prompts_of
from talewright.errors import UserError


def judge(
    run: Positional[str],
    url: str,
    model: str,
    key_variable: str = "OPENAI_API_KEY",
    stories: int = 50,
    gradings: int = 1,
    human: FlagCreatePairsOff[bool] = False,
    prompts: str | None = None,
    data: str | None = None,
    checkpoint: str = "best",
    seed: int = 0,
    concurrency: int = 4,
    max_requests: int = 1000,
    price_in: float | None = None,
    price_out: float | None = None,
    timeout: float = 120.0,
    estimate: FlagCreatePairsOff[bool] = False,
    json: FlagCreatePairsOff[bool] = False,
) -> None:
    """Have a run's stories graded by a large language model: grammar, creativity, consistency, plot, the writer's age.

    The run goes on with beginnings of held-out stories. Any server that speaks OpenAI's chat completions will do, one
    on this machine too; the stories go to it, and nothing else. No other command needs a judge, nor a network.
    What it takes is said before it begins. Each grade is kept in RUN/judge.jsonl: the same command again asks only for
    what is missing. RUN/judge.json holds the result.

    Args:
        run: Run folder.
        url: The server's address up to the version, such as http://localhost:8000/v1.
        model: The judge's name on that server.
        key_variable: Environment variable that holds the server's key, where it wants one. The key is written nowhere.
        stories: Stories that are graded.
        gradings: Times that each is graded; with 2, how far the judge agrees with itself is told (weighted kappa).
        human: Grade how the held-out stories themselves go on, to set beside the run's.
        prompts: File with a beginning on each line, in place of the held-out stories' own.
        data: Stories to take beginnings from; the run's own validation stories unless told.
        checkpoint: best, last, or a step.
        seed: The same seed tells the same stories.
        concurrency: Requests at a time.
        max_requests: More than this many are refused before the first.
        price_in: Price of a million tokens that the judge reads, to say what it costs.
        price_out: Price of a million tokens that the judge writes.
        timeout: Seconds that one answer may take.
        estimate: Say what it would take, and ask nothing.
        json: Print JSON.
    """
    counts = {"stories": stories, "gradings": gradings, "concurrency": concurrency, "max-requests": max_requests}
    for name, value in counts.items():
        if value < 1:
            raise UserError(f"--{name} is {value}; it counts, so 1 or more")
    if timeout <= 0:
        raise UserError(f"--timeout is {timeout}; it is in seconds, so more than 0")
    if (price_in is None) != (price_out is None):
        raise UserError("give --price-in and --price-out together")
    if human and prompts is not None:
        raise UserError("--human grades whole held-out stories, and --prompts has beginnings alone; give one of them")
    from talewright.evaluate.judge.endpoint import Endpoint
    from talewright.evaluate.judge.judge import JudgeOptions, judge_run, judge_table

    options = JudgeOptions(
        stories=stories,
        gradings=gradings,
        human=human,
        prompts=tuple(prompts_of(None, prompts)) if prompts is not None else (),
        data=data,
        checkpoint=checkpoint,
        seed=seed,
        concurrency=concurrency,
        max_requests=max_requests,
        prices=None if price_in is None or price_out is None else (price_in, price_out),
        estimate_only=estimate,
    )
    endpoint = Endpoint(url=url, model=model, key=os.environ.get(key_variable), timeout=timeout)
    found = judge_run(Path(run), endpoint, options)
    print(dump(found) if json else judge_table(found))


def harness(folder: Positional[str]) -> None:
    """Write the understanding questions as a task of EleutherAI's lm-evaluation-harness, to ask any model there.

    Writes talewright_understanding.yaml and .jsonl into the folder; docs/understanding.md says how they are run.

    Args:
        folder: Folder to write into.
    """
    from talewright.evaluate.multiple_choice.harness import write_task

    print(write_task(Path(folder)))
