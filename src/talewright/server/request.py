"""The body of a completion request, as OpenAI's API describes it, and what is generated for it."""

from __future__ import annotations

import secrets
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt

from talewright.errors import UserError
from talewright.generate.sampling import Sampling
from talewright.server.scheduler import Generation

MAX_CHOICES = 128
"""Texts that one request may ask for, over all of its prompts."""

Prompt = str | list[str] | list[StrictInt] | list[list[StrictInt]]


class StreamOptions(BaseModel):
    include_usage: StrictBool = False


class CompletionRequest(BaseModel):
    """OpenAI's `/v1/completions`, with top_k, min_p and repetition_penalty as vLLM adds them."""

    model_config = ConfigDict(extra="forbid")

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
    stop: str | Annotated[list[str], Field(max_length=4)] | None = None
    stream: StrictBool = False
    stream_options: StreamOptions | None = None
    logprobs: Annotated[int, Field(ge=0, le=5)] | None = None
    echo: StrictBool = False
    user: str | None = None
    # What is accepted only where it changes nothing, because clients send it:
    best_of: int | None = None
    suffix: None = None
    presence_penalty: Annotated[float, Field(ge=0, le=0)] | None = None
    frequency_penalty: Annotated[float, Field(ge=0, le=0)] | None = None
    logit_bias: Annotated[dict[str, float], Field(max_length=0)] | None = None

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
        problems = []
        if self.best_of not in (None, self.n):
            problems.append(f"best_of is {self.best_of}; only n texts are generated, so leave it out")
        if "" in self.stops:
            problems.append("stop holds an empty text; leave it out")
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
            )
            for prompt in self.prompts
            for number in range(self.n)
        ]

    def _sampling(self, most_tokens: int) -> Sampling:
        """The settings that are given; those of every other command where they are not."""
        names = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty", "seed")
        given = {name: value for name in names if (value := getattr(self, name)) is not None}
        given.setdefault("seed", secrets.randbits(62))  # without a seed, another text each time
        given["max_new_tokens"] = self.max_tokens or min(most_tokens, Sampling().max_new_tokens)
        try:
            return Sampling(**given)
        except UserError as error:
            raise UserError(str(error).replace("--", "").replace("top-", "top_").replace("min-p", "min_p")) from None
