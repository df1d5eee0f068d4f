"""Telling stories: from prompts to text, many at once or piece by piece."""

from __future__ import annotations

import codecs
import logging
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from talewright.config import ModelConfig
from talewright.errors import UserError
from talewright.generate.batching import Rows
from talewright.generate.fast_decode import Decoder
from talewright.generate.quantization import Precision, decoder_at
from talewright.generate.sampling import Sampling
from talewright.model.gpt import GPT
from talewright.tokenizer import Tokenizer

logger = logging.getLogger(__name__)

MAX_ROWS = 128
"""Stories told side by side. One core tells 10 % more tokens a second with 128 than with 64, at `mini-2m`'s shape."""
BATCH_BYTES = 1 << 30
"""Memory that one batch may take, its prompts' forward pass included."""


@dataclass(frozen=True, kw_only=True)
class Story:
    """A story that was told."""

    prompt: str
    text: str
    """The whole story: the prompt and what was told after it."""
    new_tokens: int
    """Tokens told after the prompt; the end of text is not counted."""
    finished: bool
    """Whether the story came to its end. If not, it was stopped at max_new_tokens."""


class Engine:
    """Tells stories with a model and its tokenizer. The model may be trained on between two stories.

    `notify` is told in one sentence, once a call, when prompts or stories are longer than the model's context.
    """

    def __init__(
        self,
        model: GPT,
        tokenizer: Tokenizer,
        notify: Callable[[str], object] = logger.warning,
        precision: Precision = "fp32",
    ) -> None:
        """precision: of the weights; less than fp32 is told with a copy of the model as it is now. Raises UserError
        where the tokenizer has more ids than the model.
        """
        if tokenizer.vocab_size > model.config.vocab_size:
            raise UserError(
                f"the tokenizer has {tokenizer.vocab_size:,} ids, but model.vocab_size is "
                f"{model.config.vocab_size:,}; a model is used with the tokenizer that it was trained with"
            )
        self._copy = None if precision == "fp32" else decoder_at(model, tokenizer.vocab_size, precision)
        self.model, self.tokenizer, self.notify = model, tokenizer, notify

    def generate(self, prompts: Sequence[str], sampling: Sampling | None = None) -> list[Story]:
        """A story for each prompt, in their order; an empty prompt begins one.

        Story number i draws the same numbers whatever the other prompts are, and the same as `stream` with index i.
        """
        if isinstance(prompts, str):
            raise TypeError("generate takes a list of prompts; [prompt] is one of one")
        sampling = sampling or Sampling()
        encoded = self._encode(prompts)
        found: dict[int, Story] = {}
        windowed = False
        for batch in _batches(encoded, self.model.config, sampling.max_new_tokens):
            rows = self._rows([encoded[i] for i in batch], batch, sampling)
            with _evaluating(self.model):
                while rows.running:
                    rows.step()
            windowed = windowed or rows.windowed
            for row, i in enumerate(batch):
                found[i] = self._story(prompts[i], rows, row)
        if windowed:
            self._notify_of_window()
        return [found[i] for i in range(len(prompts))]

    def stream(self, prompt: str, sampling: Sampling | None = None, index: int = 0) -> Generator[str, None, None]:
        """What comes after the prompt, piece by piece as it is told: whole characters, together what `tell` gives."""
        decoder, table = _text_decoder(), self.tokenizer.token_bytes
        for token in self.stream_tokens(self.tokenizer.encode(prompt), sampling, index):
            if piece := decoder.decode(table[token]):
                yield piece

    def stream_tokens(
        self, ids: Sequence[int], sampling: Sampling | None = None, index: int = 0
    ) -> Generator[int, None, bool]:
        """The token ids that come after these, one by one as they are told, the end of text left out. Returns whether
        the story came to its end.

        Whoever has a story's ids goes on from any token of it, as no text can: another split of the same letters would
        be other tokens.
        """
        rows = self._rows(self._fitted([ids]), [index], sampling or Sampling())
        notified = False
        with _evaluating(self.model):
            while rows.running:
                rows.step()
                if rows.windowed and not notified:
                    self._notify_of_window()
                    notified = True
                if rows.counts[0] == rows.steps:
                    yield int(rows.told[0, rows.steps - 1])
        return bool(rows.finished[0])

    def _encode(self, prompts: Sequence[str]) -> list[list[int]]:
        """Ids of each prompt after an end of text, as stories stand in training: the newest that fit the context."""
        return self._fitted(self.tokenizer.encode_batch(list(prompts)))

    def _fitted(self, prompts: Sequence[Sequence[int]]) -> list[list[int]]:
        context = self.model.config.context_length
        encoded = [[self.tokenizer.eos_id, *ids] for ids in prompts]
        longest = max(map(len, encoded), default=0)
        if longest > context:
            self.notify(
                f"a prompt of {longest - 1:,} tokens is longer than the model's context of {context:,}; "
                f"only its newest {context:,} are read"
            )
        return [ids[-context:] for ids in encoded]

    def _rows(self, encoded: list[list[int]], stories: list[int], sampling: Sampling) -> Rows:
        decoder = self._copy or Decoder(self.model, self.tokenizer.vocab_size)
        return Rows(decoder, encoded, stories, sampling, self.tokenizer.eos_id)

    def _story(self, prompt: str, rows: Rows, row: int) -> Story:
        told = _text_decoder().decode(self._bytes(rows, row))
        return Story(
            prompt=prompt,
            text=prompt + told,
            new_tokens=int(rows.counts[row]),
            finished=bool(rows.finished[row]),
        )

    def _bytes(self, rows: Rows, row: int) -> bytes:
        table = self.tokenizer.token_bytes
        return b"".join(table[i] for i in rows.told[row, : rows.counts[row]].tolist())

    def _notify_of_window(self) -> None:
        context = self.model.config.context_length
        self.notify(
            f"a story is longer than the model's context of {context:,} tokens; past that it is told from its newest "
            f"{context // 2:,} to {context:,}, and the model no longer sees how it began"
        )


def _text_decoder() -> codecs.IncrementalDecoder:
    """Bytes to text: bytes that are no UTF-8 become U+FFFD; a character not yet whole is held back."""
    return codecs.getincrementaldecoder("utf-8")("replace")


def _batches(encoded: list[list[int]], config: ModelConfig, new_tokens: int) -> Iterator[list[int]]:
    """The numbers of the prompts, told together where their lengths are near and memory allows."""
    by_length = sorted(range(len(encoded)), key=lambda i: -len(encoded[i]))
    while by_length:
        count = _rows_in_memory(config, len(encoded[by_length[0]]), new_tokens)
        yield by_length[:count]
        by_length = by_length[count:]


def _rows_in_memory(config: ModelConfig, prompt_length: int, new_tokens: int) -> int:
    """How many rows a batch may have, by what each holds: its cache, its prompt's activations and its logits."""
    kept = min(config.context_length, prompt_length + new_tokens)
    cache = 2 * config.n_layers * config.kv_heads * config.head_dim * kept
    reading = max(prompt_length, config.context_length // 2 if kept == config.context_length else 0)
    activations = reading * (8 * config.d_model + 3 * config.d_ff)
    values = cache + activations + 4 * config.vocab_size  # logits, and what sampling makes of them
    return max(1, min(MAX_ROWS, BATCH_BYTES // (4 * values)))


@contextmanager
def _evaluating(model: GPT) -> Iterator[None]:
    """The model without dropout, and afterwards as it was."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)
