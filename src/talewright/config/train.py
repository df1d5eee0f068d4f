"""The training loop: its budget, batches, evaluations, checkpoints and devices."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

from talewright.config.checks import Check, Count, CountOrZero, Fraction, Positive, Section

BUDGETS = ("train.max_steps", "train.max_epochs", "train.max_tokens", "train.max_minutes")
"""The settings that end a training."""
PROMPTS = ("Once upon a time", "One day, a small dog found a", "The little rabbit was very hungry")


@dataclass(frozen=True, kw_only=True)
class TrainConfig(Section, prefix="train."):
    """Settings of the training loop."""

    learning_rate: Positive = 1e-3
    """Peak learning rate."""
    init_from: str | None = None
    """Run folder whose weights the training starts from. Unset: random weights, from the seed."""
    teacher: str | None = None
    """Run folder whose model's output distribution this model also learns (distillation, Hinton et al. 2015,
    arXiv:1503.02531). It must have the same tokenizer. Unset: none."""
    teacher_weight: Fraction = 0.5
    """Weight of the distillation loss in the total loss, from 0 to 1."""
    micro_batch: Count = 16
    """Windows (or rows) in one forward pass."""
    accumulation: Count = 1
    """Forward passes accumulated into one optimizer step."""
    max_steps: Count | None = None
    """Stop after this many optimizer steps."""
    max_epochs: Positive | None = None
    """Stop after this many passes over the training stories."""
    max_tokens: Count | None = None
    """Stop after this many training tokens."""
    max_minutes: Positive | None = None
    """Stop after this many minutes of training, compilation included; evaluations, samples and saving do not count.
    The schedule ends with them."""
    evaluate_every: Count | None = None
    """Optimizer steps between evaluations. Unset: 20 evaluations, evenly spread over the budget. The untrained model
    and the last step are always evaluated."""
    evaluate_stories: Count | None = None
    """Number of validation stories, evenly spread over all, that each evaluation scores. Unset: all."""
    checkpoint_every: Count | None = None
    """Optimizer steps between checkpoints. Unset: at each evaluation, and after ten minutes of training without one.
    The best evaluation and the last step always have one."""
    keep: Count = 2
    """Number of newest checkpoints to keep in addition to the best one."""
    timeline_checkpoints: CountOrZero = 0
    """Number of light checkpoints (the weights alone, in bfloat16) to keep at log-spaced steps, from the first to the
    last, beside the full ones. `talewright inspect` shows from them what the model had learned when. 0: none; 16 show
    much."""
    average: Annotated[
        float | None, Check(lambda value: 0 < value < 1, "it is a decay, above 0 and below 1, such as 0.998")
    ] = None
    """Evaluate, sample from and keep as the run's model a running mean of the weights with this decay per step, such as
    0.998 (Tarvainen & Valpola 2017, arXiv:1703.01780). Unset: the weights themselves."""
    patience: Count | None = None
    """Stop after this many evaluations without a lower loss. Unset: never."""
    skip_bad_batches: bool = False
    """Skip a batch with a non-finite loss or gradient, and count it. Otherwise such a batch ends the run."""
    prompts: tuple[str, ...] = PROMPTS
    """Prompts of the samples that are generated at evaluations, in turn."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Precision of matrix products; weights stay in fp32. auto: bf16 where the hardware supports it."""
    compile: Literal["auto"] | bool = "auto"
    """Compile the model with torch.compile. auto: if the run is long enough to make up for the compile time. Where
    compiling fails, training continues without it, with a warning."""
    accelerator: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Kind of device to train on."""
    devices: Count = 1
    """Number of processes per node, each with one device."""
    nodes: Count = 1
    """Number of machines."""
    loggers: tuple[Literal["tensorboard", "wandb", "trackio", "mlflow"], ...] = ()
    """Experiment trackers that also get the metrics, the recipe and the samples, such as [wandb]. Each is an extra of
    the same name, and is set up by its own environment variables. log.jsonl is always written."""

    def conflicts(self) -> Iterator[str]:
        if all(getattr(self, budget.removeprefix("train.")) is None for budget in BUDGETS):
            yield "train has no budget; set one of " + ", ".join(BUDGETS)
        processes = self.devices * self.nodes
        if processes > 0 and self.accumulation % processes and self.micro_batch % processes:
            yield (
                f"train.devices x train.nodes is {processes}, which divides neither train.accumulation "
                f"{self.accumulation} nor train.micro_batch {self.micro_batch}; every process needs an equal share"
            )
