"""Continuous batching: many texts generated as one batch, one token of each per step, on cached keys and values.

A text joins and leaves between two steps (Orca, Yu et al. 2022, OSDI). Each has its own settings and its own random
numbers, so that it is generated as it would be alone, but for rounding, which depends on the size of the batch.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from talewright.config import ModelConfig
from talewright.errors import UserError
from talewright.generate.batch_memory import SLICE_ALONE, batch_memory, row_bytes
from talewright.generate.fast_decode import Decoder
from talewright.generate.logprobs import TokenLogprob, token_logprob
from talewright.generate.samplers import UNIFORMS, choose, uniforms
from talewright.generate.sampling import GREEDY, Sampling
from talewright.generate.speculation import DRAFTED, Draft
from talewright.machine.busy import adapt_to_load
from talewright.model.gpt import GPT
from talewright.model.kv_cache import KVCache

MAX_ROWS = 128
"""Texts generated together. At `mini-2m`'s shape, one core generates 10% more tokens/s with 128 than with 64."""
BLOCK = 64
"""The cache grows by this many tokens."""
SLICE = 128
"""Tokens of prompts that are read in one step beside texts that are being generated, which wait for it."""


@dataclass(eq=False, kw_only=True)
class Request:
    """A text to generate, and what was generated of it so far."""

    prompt: Sequence[int]
    """1 to context_length ids, the first one begins a text."""
    sampling: Sampling = field(default_factory=Sampling)
    index: int = 0
    """With the seed, it determines the random numbers."""
    tokens: list[int] = field(default_factory=list)
    """The ids generated so far, without the end of text."""
    finished: bool = False
    """Whether the model ended the text."""
    windowed: bool = False
    """Whether the text went past the model's context."""
    stopped: bool = False
    """May be set at any time, by any thread: the request then leaves the batch before the next step."""
    alternatives: int | None = None
    """Set to also record the log-probability of each token, and of this many most likely ones."""
    logprobs: list[TokenLogprob] = field(default_factory=list, repr=False)
    """Of each of `tokens`, if asked for."""
    seen: Tensor | None = field(default=None, repr=False)
    """(V,), bool: which tokens the text holds, for the repetition penalty."""
    numbers: list[float] = field(default_factory=list, repr=False)
    """The random numbers of the current UNIFORMS tokens."""

    @property
    def done(self) -> bool:
        return self.finished or self.stopped or len(self.tokens) >= self.sampling.max_new_tokens

    def uniform(self) -> float:
        """The random number of the next token."""
        block, column = divmod(len(self.tokens), UNIFORMS)
        if column == 0:
            self.numbers = uniforms(self.sampling.seed, [self.index], block)[0].tolist()
        return self.numbers[column]

    def longest(self, context: int) -> int:
        """The most tokens that its row of the cache will hold."""
        return min(context, len(self.prompt) + self.sampling.max_new_tokens)


class ContinuousBatch:
    """The requests that generate together. `add` some, and `step` while `busy`; each request holds its result.

    A text that fills the model's context continues from a window: the newest half of its tokens is read again, as if
    the text began there, and grows until the context is full once more.
    """

    def __init__(
        self, decoder: Decoder, ends: Sequence[int], unused: Sequence[int] = (), draft: Draft | None = None
    ) -> None:
        """ends: the ids that end a text; unused: ids that are no token; draft: for speculative decoding."""
        self.decoder, self.model, self.draft = decoder, decoder.model, draft
        self.ends, self.unused = {*ends}, list(unused)
        self.memory = batch_memory(self.model.output_weight.device)
        self.waiting: deque[Request] = deque()
        self.reading: deque[_Reading] = deque()
        self.running: list[Request] = []  # the request in each row of the cache
        self.cache = KVCache.empty(self.model.config, 0, BLOCK, like=self.model.output_weight)
        self.token = self._tensor([])  # (rows,), the newest token of each row, not yet read
        self.groups: list[_Group] = []

    @property
    def busy(self) -> bool:
        """Whether any request is unfinished."""
        return bool(self.running or self.reading or self.waiting)

    def add(self, *requests: Request) -> None:
        """Let the requests join, in this order, as soon as there is memory for them."""
        self.waiting.extend(requests)

    @adapt_to_load(one_thread=True)
    @torch.inference_mode()
    def step(self) -> None:
        """Generate one more token of every text in the batch, and read a slice of the prompts of those that join."""
        self._drop_done()
        if self.running:
            self._read_newest()
        self._admit()
        if self.reading:
            self._read_prompts(self.reading[0])

    def _read_newest(self) -> None:
        """Read the newest token of each row, and draw the next one, or several if the draft was right."""
        context = self.model.config.context_length
        if self.cache.longest == context:
            self._move_windows()
        drafted = self._drafted(context - self.cache.longest - 1)
        if self.cache.longest + len(drafted) >= self.cache.capacity:
            self.cache.reserve(len(self.running), min(context, self.cache.capacity + BLOCK))
        if drafted:
            self._verify(drafted)
        else:
            self.token = self._draw(self.running, self.groups, self.decoder.hidden(self.token, self.cache))
        self._drop_done()

    def _drafted(self, room: int) -> list[int]:
        """Up to `room` tokens that may come next in a text that is alone."""
        if self.draft is None or len(self.running) > 1 or self.reading:
            return []
        [request] = self.running
        most = min(DRAFTED, room, request.sampling.max_new_tokens - len(request.tokens) - 1)
        return self.draft([*request.prompt, *request.tokens], most) if most > 0 else []

    def _verify(self, drafted: list[int]) -> None:
        """Read the newest token and the drafted ones; draw what follows each, up to the first that was not drafted."""
        [request] = self.running
        hidden = self.decoder.hidden_of_several(torch.cat((self.token, self._tensor(drafted))), self.cache)
        read = 0
        for read, expected in enumerate([*drafted, None], 1):
            self.token = self._draw(self.running, self.groups, hidden[read - 1 : read])
            if request.done or request.tokens[-1] != expected:
                break
        self.cache.advance(read - len(hidden))

    def _admit(self) -> None:
        """Take waiting requests for which there is memory, as one group of prompts that are of similar length."""
        admitted = [*self.running, *(request for group in self.reading for request in group.requests)]
        group: list[Request] = []
        while self.waiting and (not group or _similar(group[0].prompt, self.waiting[0].prompt)):
            if admitted and not _fits([*admitted, self.waiting[0]], self.model.config, self.memory):
                break
            request = self.waiting.popleft()
            if not request.stopped:
                group.append(request)
                admitted.append(request)
        if group:
            cache = KVCache.empty(
                self.model.config,
                len(group),
                max(len(request.prompt) for request in group),
                like=self.model.output_weight,
            )
            self.reading.append(_Reading(group, cache))

    def _read_prompts(self, reading: _Reading) -> None:
        """Read a slice of one group; the groups take turns. Requests whose prompt is read join the batch."""
        self.reading.rotate(-1)
        done = reading.read(self.model, SLICE if self.running else SLICE_ALONE)
        if not done:
            return
        self.reading.remove(reading)
        requests = reading.requests
        for request in requests:
            if request.sampling.repetition_penalty != 1:
                request.seen = self._tokens_of(request.prompt)
        tokens = self._draw(requests, self._grouped(requests), torch.stack(reading.last))
        self.cache.join(reading.cache, MAX_ROWS)
        self.running, self.token = [*self.running, *requests], torch.cat((self.token, tokens))
        self.groups = self._grouped(self.running)

    def _draw(self, requests: list[Request], groups: list[_Group], hidden: Tensor) -> Tensor:
        """The next token of each request, (rows,), after what the output layer reads, `hidden` (rows, D).

        Raises UserError if logits are not numbers.
        """
        logits = self.decoder.logits(hidden).float()  # (rows, V)
        if self.unused:
            logits[:, self.unused] = -math.inf
        if len(groups) == 1:
            tokens = self._choose(requests, groups[0].sampling, logits)
        else:
            tokens = torch.empty(len(requests), dtype=torch.long, device=logits.device)
            for group in groups:
                chosen = [requests[row] for row in group.numbers]
                tokens[group.rows] = self._choose(chosen, group.sampling, logits[group.rows])
        valid = logits.amax(-1).isfinite()  # NaN if one is
        drawn = torch.stack((tokens, valid.long()), 1).tolist()  # the one wait for the device
        if not all(finite for _, finite in drawn):
            raise UserError(
                "the model's logits are not numbers (NaN or infinite): its weights are damaged, or too large for their "
                "precision"
            )
        for row, (request, (token, _)) in enumerate(zip(requests, drawn, strict=True)):
            request.finished = token in self.ends
            if not request.finished:
                request.tokens.append(token)
                if request.seen is not None:
                    request.seen[token] = True
                if request.alternatives is not None:
                    request.logprobs.append(token_logprob(logits[row], token, request.alternatives))
        return tokens

    def _choose(self, requests: list[Request], sampling: Sampling, logits: Tensor) -> Tensor:
        """The next token of requests that share these settings."""
        drawn = None
        if sampling.temperature >= GREEDY:
            drawn = self._tensor([request.uniform() for request in requests], torch.float32)
        penalty = sampling.repetition_penalty != 1
        seen = torch.stack([request.seen for request in requests if request.seen is not None]) if penalty else None
        return choose(logits, sampling, seen, drawn)

    def _move_windows(self) -> None:
        """Reduce the rows whose context is full to the newest half of their tokens."""
        config = self.model.config
        full = (self.cache.lengths == config.context_length).nonzero()[:, 0]
        half = KVCache.empty(config, len(full), config.context_length // 2, like=self.model.output_weight)
        requests = [self.running[row] for row in full.tolist()]
        if config.context_length > 1:
            read = [[*request.prompt, *request.tokens[:-1]] for request in requests]  # the newest is not yet read
            self.model.hidden(self._tensor([ids[-(config.context_length // 2) :] for ids in read]), half)
        self.cache.replace(full, half)
        for request in requests:
            request.windowed = True

    def _drop_done(self) -> None:
        """Remove the rows of requests that are done; rows from the end of the batch fill the gaps."""
        left = np.asarray([request.done for request in self.running], dtype=bool)
        if not left.any():
            return
        count = int((~left).sum())
        order = np.arange(count)
        order[left[:count]] = count + np.flatnonzero(~left[count:])
        self.running = [self.running[row] for row in order]
        rows = self._tensor(order.tolist())
        self.token = self.token[rows]
        self.cache.select(rows)
        self.groups = self._grouped(self.running)
        if not self.running:  # give the memory back
            self.cache = KVCache.empty(self.model.config, 0, BLOCK, like=self.model.output_weight)

    def _grouped(self, requests: list[Request]) -> list[_Group]:
        """The rows by the settings that they share, seed and length aside."""
        numbers: dict[tuple[object, ...], list[int]] = {}
        for row, request in enumerate(requests):
            s = request.sampling
            key = (s.temperature, s.top_k, s.top_p, s.min_p, s.repetition_penalty)
            numbers.setdefault(key, []).append(row)
        return [_Group(requests[rows[0]].sampling, rows, self._tensor(rows)) for rows in numbers.values()]

    def _tokens_of(self, prompt: Sequence[int]) -> Tensor:
        """Which tokens a prompt holds, (V,), bool; the end of text does not count."""
        seen = torch.zeros(self.decoder.vocab_size, dtype=torch.bool, device=self.token.device)
        seen[self._tensor(list(prompt))] = True
        seen[self._tensor([token for token in self.ends if 0 <= token < len(seen)])] = False
        return seen

    def _tensor(self, values: list, dtype: torch.dtype = torch.long) -> Tensor:
        return torch.tensor(values, dtype=dtype).to(self.model.output_weight.device)


def generate_all(
    decoder: Decoder,
    requests: Sequence[Request],
    ends: Sequence[int],
    unused: Sequence[int] = (),
    draft: Draft | None = None,
) -> None:
    """Generate all of the requests, as many at once as there is memory for; see ContinuousBatch."""
    batch = ContinuousBatch(decoder, ends, unused, draft)
    batch.add(*requests)
    while batch.busy:
        batch.step()


@dataclass(frozen=True)
class _Group:
    """Rows whose tokens are drawn with the same settings."""

    sampling: Sampling
    numbers: list[int]
    rows: Tensor


class _Reading:
    """Prompts of similar lengths, padded on the right, that are being read slice by slice."""

    def __init__(self, requests: list[Request], cache: KVCache) -> None:
        self.requests, self.cache = requests, cache
        self.lengths = [len(request.prompt) for request in requests]
        padded = np.zeros((len(requests), max(self.lengths)), dtype=np.int64)
        for row, request in zip(padded, requests, strict=True):
            row[: len(request.prompt)] = request.prompt
        self.tokens = torch.from_numpy(padded).to(cache.lengths.device)  # (rows, T)
        self.last: list[Tensor] = [torch.empty(0)] * len(requests)
        """What the output layer reads at the last token of each prompt: (D,) each."""

    def read(self, model: GPT, most: int) -> bool:
        """Read up to `most` tokens, one of each prompt at least. Returns whether the prompts are read."""
        start, T = self.cache.longest, self.tokens.shape[1]
        stop = min(T, start + max(1, most // len(self.lengths)))
        hidden = model.hidden(self.tokens[:, start:stop], self.cache)  # (rows, stop - start, D)
        for row, length in enumerate(self.lengths):
            if start < length <= stop:
                self.last[row] = hidden[row, length - 1 - start]
        if stop == T:
            self.cache.set_lengths(torch.tensor(self.lengths))
        return stop == T


def _similar(prompt: Sequence[int], other: Sequence[int]) -> bool:
    """Whether reading two prompts together wastes little on padding."""
    shorter, longer = sorted((len(prompt), len(other)))
    return longer <= 2 * shorter + 16


def _fits(requests: Sequence[Request], config: ModelConfig, memory: int) -> bool:
    """Whether the requests may be in the batch together, at the lengths that they may reach."""
    kept = max(request.longest(config.context_length) for request in requests)
    prompt = max(len(request.prompt) for request in requests)
    return len(requests) <= min(MAX_ROWS, memory // row_bytes(config, prompt, kept))
