"""The body of a completion request, as OpenAI's API describes it, and what is generated for it."""

from __future__ import annotations

import math
import re
import secrets
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from talewright.errors import UserError
from talewright.generate.sampling import Sampling
from talewright.server.scheduler import Generation

MAX_CHOICES = 128
"""Texts that one request may ask for, over all of its prompts."""

Prompt = str | list[str] | list[int] | list[list[int]]
NOT_OFFERED = ("suffix", "presence_penalty", "frequency_penalty", "logit_bias")
"""Accepted only where they change nothing, because clients send them."""


class StreamOptions(BaseModel):
    model_config = ConfigDict(strict=True)

    include_usage: bool = False


class CompletionRequest(BaseModel):
    """OpenAI's `/v1/completions`, with top_k, min_p and repetition_penalty as vLLM adds them."""

    model_config = ConfigDict(extra="forbid", strict=True)  # "2" and true are no numbers

    model: str
    prompt: Prompt = ""
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    n: Annotated[int, Field(ge=1, le=MAX_CHOICES)] = 1
    seed: int | None = None
    stop: str | list[str] | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None
    logprobs: Annotated[int, Field(ge=0, le=5)] | None = None
    echo: bool = False
    user: str | None = None
    best_of: int | None = None
    suffix: str | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: dict[str, float] | None = None

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, values: Any) -> Any:
        """OpenAI's API takes null for what is left out."""
        return (
            {name: value for name, value in values.items() if value is not None} if isinstance(values, dict) else values
        )

    @property
    def stops(self) -> list[str]:
        """The texts that end a completion."""
        return [self.stop] if isinstance(self.stop, str) else self.stop or []

    @property
    def prompts(self) -> list[str | list[int]]:
        """Each prompt, as text or as token ids."""
        prompt = self.prompt
        if isinstance(prompt, str) or (prompt and isinstance(prompt[0], int)):
            return [prompt]  # pyright: ignore[reportReturnType]
        return list(prompt)  # pyright: ignore[reportReturnType]

    def generations(self, user: str, most_tokens: int) -> list[Generation]:
        """What is to be generated: n texts of each prompt. Raises UserError, naming every setting out of range."""
        problems = [f"{name}: it is not offered here, so leave it out" for name in NOT_OFFERED if getattr(self, name)]
        if self.best_of not in (None, self.n):
            problems.append(f"best_of is {self.best_of}; only n texts are generated, so leave it out")
        if len(self.stops) > 4:
            problems.append(f"stop: {len(self.stops)} texts; up to 4 are accepted")
        if "" in self.stops:
            problems.append("stop contains an empty text; leave it out")
        if not self.prompts:
            problems.append("prompt is an empty list; give one prompt or more")
        if len(self.prompts) * self.n > MAX_CHOICES:
            problems.append(f"{len(self.prompts)} prompts with n {self.n}: up to {MAX_CHOICES} texts, so send fewer")
        if (self.max_tokens or 0) > most_tokens:
            problems.append(f"max_tokens is {self.max_tokens}; this server generates up to {most_tokens:,}")
        if problems:
            raise UserError("\n".join(problems))
        sampling = self._sampling(most_tokens)
        return [
            Generation(
                user=user,
                choice=self.model,
                prompt=prompt if isinstance(prompt, str) else "",
                prompt_tokens=None if isinstance(prompt, str) else prompt,
                sampling=sampling,
                part=number,
                alternatives=self.logprobs,
                polled=math.inf,
            )
            for prompt in self.prompts
            for number in range(self.n)
        ]

    def _sampling(self, most_tokens: int) -> Sampling:
        """The settings that are given; those of every other command where they are not."""
        names = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty", "seed")
        given = {name: value for name in names if (value := getattr(self, name)) is not None}
        if given.get("top_k") in (0, -1):  # as in vLLM: all tokens
            del given["top_k"]
        given.setdefault("seed", secrets.randbits(62))  # without a seed, another text each time
        given["max_new_tokens"] = self.max_tokens or min(most_tokens, Sampling().max_new_tokens)
        try:
            return Sampling(**given)
        except UserError as error:
            named = re.sub(r"--([a-z-]+)", lambda option: option[1].replace("-", "_"), str(error))
            raise UserError(named) from None
