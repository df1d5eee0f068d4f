"""Samples generated together: one row of a batch each, one token per step, on cached keys and values."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from talewright.errors import UserError
from talewright.generate.fast_decode import Decoder
from talewright.generate.samplers import UNIFORMS, choose, uniforms
from talewright.generate.sampling import GREEDY, Sampling
from talewright.machine.busy import adapt_to_load
from talewright.model.kv_cache import KVCache


class GenerationBatch:
    """The samples of one batch during generation. `step` until not `running`; `generated` and `counts` hold the result.

    A sample that ends leaves the batch. One that fills the model's context continues from a window: the newest half of
    its tokens is read again, as if the sample began there, and grows until the context is full once more.
    """

    def __init__(
        self,
        decoder: Decoder,
        prompts: Sequence[Sequence[int]],
        indices: Sequence[int],
        sampling: Sampling,
        ends: Sequence[int],
        unused: Sequence[int] = (),
    ) -> None:
        """prompts: 1 to context_length tokens each, the first one begins a text; indices: the index of each sample,
        which with the seed determines its random numbers; ends: the ids that end a text; unused: ids that are no token.
        """
        self.decoder, self.model, self.ends = decoder, decoder.model, list(ends)
        self.unused = list(unused)
        self.prompts, self.indices, self.sampling = prompts, np.asarray(indices), sampling
        B, config = len(prompts), self.model.config
        self.generated = np.empty((B, sampling.max_new_tokens), dtype=np.int64)  # tokens after each prompt
        self.counts = np.zeros(B, dtype=np.int64)  # how many there are, not counting the end of text
        self.finished = np.zeros(B, dtype=bool)  # whether each sample reached its end of text
        self.windowed = False  # whether a sample went past the model's context
        self.steps = 0
        self.alive = np.arange(B)  # the sample in each row of the batch
        capacity = min(config.context_length, max(map(len, prompts)) + sampling.max_new_tokens)
        self.cache = KVCache.empty(config, B, capacity, like=self.model.output_weight)
        self.token: Tensor  # (rows,) the newest token of each row, not yet read
        self.uniforms: Tensor | None = None  # (rows, UNIFORMS)
        self.seen = self._tokens_seen() if sampling.repetition_penalty != 1 else None  # (rows, V)

    @property
    def running(self) -> bool:
        """Whether any sample is unfinished."""
        return len(self.alive) > 0 and self.steps < self.sampling.max_new_tokens

    @adapt_to_load(one_thread=True)
    @torch.inference_mode()
    def step(self) -> None:
        """Generate one more token of every sample that has not ended. Raises UserError if logits are not numbers."""
        hidden = self._read_token() if self.steps else self._read_prompts()  # (rows, D)
        logits = self.decoder.logits(hidden).float()  # (rows, V)
        if self.unused:
            logits[:, self.unused] = -math.inf
        self.token = choose(logits, self.sampling, self.seen, self._uniform())
        finite = logits.amax(-1).isfinite()  # NaN if one is
        newest, valid = torch.stack((self.token, finite.long())).cpu().numpy()  # the one wait for the device
        if not valid.all():
            raise UserError(
                "the model's logits are not numbers (NaN or infinite): its weights are damaged, or too large for their "
                "precision"
            )
        if self.seen is not None:
            self.seen.scatter_(1, self.token[:, None], True)
        ended = np.isin(newest, self.ends)
        self.generated[self.alive, self.steps] = newest
        self.counts[self.alive] += ~ended
        self.steps += 1
        if ended.any():
            self._drop(ended)

    def _read_prompts(self) -> Tensor:
        """What the output layer reads at the last token of each prompt: (B, D)."""
        lengths = [len(prompt) for prompt in self.prompts]
        padded = np.zeros((len(lengths), max(lengths)), dtype=np.int64)
        for row, prompt in zip(padded, self.prompts, strict=True):
            row[: len(prompt)] = prompt
        hidden = self.model.hidden(self._to_device(padded), self.cache)  # (B, T, D)
        last = self._to_device(np.asarray(lengths))
        self.cache.set_lengths(last)
        return hidden[torch.arange(len(lengths), device=hidden.device), last - 1]

    def _read_token(self) -> Tensor:
        """What the output layer reads at the newest token of each row: (rows, D)."""
        if self.cache.longest == self.model.config.context_length:
            self._move_windows()
        return self.decoder.hidden(self.token, self.cache)

    def _move_windows(self) -> None:
        """Reduce the rows whose context is full to the newest half of their tokens."""
        context = self.model.config.context_length
        full = (self.cache.lengths == context).nonzero()[:, 0]
        half = KVCache.empty(self.model.config, len(full), context // 2, like=self.model.output_weight)
        if context > 1:
            newest = [self._newest(sample, context // 2) for sample in self.alive[full.cpu().numpy()]]
            self.model.hidden(self._to_device(np.stack(newest)), half)
        self.cache.replace(full, half)
        self.windowed = True

    def _newest(self, sample: int, count: int) -> np.ndarray:
        """The last `count` tokens of a sample that were read."""
        return np.concatenate((self.prompts[sample], self.generated[sample, : self.steps - 1]))[-count:]

    def _drop(self, ended: np.ndarray) -> None:
        """Remove the rows of samples that have ended; rows from the end of the batch fill the gaps."""
        self.finished[self.alive[ended]] = True
        count = int((~ended).sum())
        order = np.arange(count)
        order[ended[:count]] = count + np.flatnonzero(~ended[count:])
        self.alive = self.alive[order]
        rows = self._to_device(order)
        self.token = self.token[rows]
        self.uniforms = None if self.uniforms is None else self.uniforms[rows]
        self.seen = None if self.seen is None else self.seen[rows]
        self.cache.select(rows)

    def _uniform(self) -> Tensor | None:
        """The random number of each row's next token: (rows,); None if greedy."""
        if self.sampling.temperature < GREEDY:
            return None
        block, column = divmod(self.steps, UNIFORMS)
        if column == 0:
            indices = self.indices[self.alive].tolist()
            self.uniforms = uniforms(self.sampling.seed, indices, block).to(self.cache.lengths.device)
        return None if self.uniforms is None else self.uniforms[:, column]

    def _tokens_seen(self) -> Tensor:
        """Which tokens each prompt holds, (B, V), bool; the end of text before it does not count."""
        seen = torch.zeros(len(self.prompts), self.decoder.vocab_size, dtype=torch.bool)
        for row, prompt in zip(seen, self.prompts, strict=True):
            row[torch.as_tensor(prompt)] = True
        seen[:, self.ends] = False
        return seen.to(self.cache.lengths.device)

    def _to_device(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(self.cache.lengths.device)
