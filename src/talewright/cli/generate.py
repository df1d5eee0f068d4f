"""The command `generate`."""

from pathlib import Path
from typing import Literal

from talewright.cli.common import (
    INCLUDED,
    Checkpoint,
    Device,
    OptionalRun,
    Seed,
    logger,
    print_story,
    read_prompts,
    to_json,
    typed_text,
)
from talewright.cli.words import print_pieces, show
from talewright.errors import UserError
from talewright.files import shell_word
from talewright.generate.sampling import Sampling

MOST_SAMPLES = 1_000_000
"""Stories of a prompt at most: all are kept until the last one is finished."""


def generate(
    run: OptionalRun = INCLUDED,
    prompt: str | None = None,
    prompts: str | None = None,
    samples: int = 1,
    temperature: float = Sampling.temperature,
    top_k: int | None = Sampling.top_k,
    top_p: float | None = Sampling.top_p,
    min_p: float | None = Sampling.min_p,
    repetition_penalty: float = Sampling.repetition_penalty,
    max_new_tokens: int = Sampling.max_new_tokens,
    greedy: bool = False,
    seed: Seed = Sampling.seed,
    checkpoint: Checkpoint = "best",
    precision: Literal["fp32", "bf16", "fp16", "int8"] = "fp32",
    device: Device = None,
    json: bool = False,
) -> None:
    """Generate stories with a trained run, or with the included model, and print them word by word.

    Args:
        prompt: Text that the story begins with. Default: none, the model begins.
        prompts: File with a prompt on each line, generated in one batch.
        samples: Number of stories for each prompt.
        temperature: Below 1 favors likely tokens, above 1 gives others more chance, 0 always takes the most likely one.
        top_k: Sample from this many most likely tokens only.
        top_p: Sample from the most likely tokens that together reach this probability; 1 samples from all.
        min_p: Sample from tokens at least this likely, as a fraction of the most likely one's probability.
        repetition_penalty: Above 1 makes tokens that already occurred less likely.
        max_new_tokens: Stop a story that has not ended after this many tokens.
        greedy: Always take the most likely token, as temperature 0 does.
        precision: Precision of the weights. Fewer bits are faster; int8 is the fastest for one story on a CPU.
        json: Print a JSON list of prompt, text, new_tokens and finished.
    """
    if not 1 <= samples <= MOST_SAMPLES:
        raise UserError(f"--samples is {samples}; it must be from 1 to {MOST_SAMPLES:,}")
    if prompt is not None and prompts is not None:
        raise UserError("give --prompt or --prompts, not both")
    given = {"--top-k": top_k, "--min-p": min_p, "--temperature": temperature, "--top-p": top_p}
    unused = [name for name, value in given.items() if value not in (None, 0, 1, Sampling.temperature, Sampling.top_p)]
    if greedy and unused:
        raise UserError(
            f"--greedy takes the most likely token, which {' and '.join(unused)} cannot change; leave one out"
        )
    if " " in run and not Path(run).exists():
        raise UserError(f"{run} is not a run folder. A prompt goes behind --prompt, as in --prompt {shell_word(run)}")
    texts = read_prompts(prompts) if prompts is not None else [typed_text("--prompt", prompt or "")]
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
    from talewright.machine import gpu_memory_errors

    opened = api.load(run, checkpoint, precision, device)
    step = opened.loaded_checkpoint.name.removeprefix("step-")
    logger.info("%s, checkpoint %s (step %s)", opened.label, checkpoint, step)
    if not json and len(texts) * samples == 1:
        print_story(opened, texts[0], sampling)
        return
    with gpu_memory_errors(opened.device):
        stories = opened.engine.generate([text for text in texts for _ in range(samples)], sampling)
    if json:
        keys = ("prompt", "text", "new_tokens", "finished")
        show(to_json([{key: getattr(story, key) for key in keys} for story in stories]))
    else:
        print_pieces(["\n\n---\n\n".join(story.text for story in stories)])
