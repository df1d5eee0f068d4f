"""Generation from prompts to text, many samples at once or streamed."""

from __future__ import annotations

import codecs
import logging
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from talewright.config import ModelConfig
from talewright.errors import UserError
from talewright.generate.batching import GenerationBatch
from talewright.generate.fast_decode import Decoder
from talewright.generate.quantization import WeightPrecision, decoder_at
from talewright.generate.sampling import Sampling
from talewright.model.gpt import GPT
from talewright.tokenizer import Tokenizer

logger = logging.getLogger(__name__)

MAX_ROWS = 128
"""Samples generated together. At `mini-2m`'s shape, one core generates 10% more tokens/s with 128 than with 64."""
BATCH_BYTES = 1 << 30
"""Memory that one batch may take, its prompts' forward pass included."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A generated text."""

    prompt: str
    """The prompt, `trimmed`."""
    text: str
    """The prompt and what was generated after it."""
    new_tokens: int
    """Tokens generated after the prompt, not counting the end of text."""
    finished: bool
    """Whether the model ended the text. If not, it was stopped at max_new_tokens."""

    @property
    def continuation(self) -> str:
        """What was generated after the prompt."""
        return self.text[len(self.prompt) :]


def trimmed(prompt: str) -> str:
    """The prompt without spaces and line breaks at its end: the model writes its own before the next word.

    In training, a space was part of the word after it. A space alone was rare, and models write nonsense after it.
    """
    return prompt.rstrip(" \t\r\n")


class Engine:
    """Generates text with a model and its tokenizer. The model may be trained between two calls.

    Prompts are `trimmed`. `notify` receives one sentence per call when prompts or samples are longer than the model's
    context.
    """

    def __init__(
        self,
        model: GPT,
        tokenizer: Tokenizer,
        notify: Callable[[str], object] = logger.warning,
        precision: WeightPrecision = "fp32",
    ) -> None:
        """precision: of the weights; less than fp32 generates with a copy of the model as it is now. Raises UserError
        if the tokenizer has more ids than the model.
        """
        if tokenizer.vocab_size > model.config.vocab_size:
            raise UserError(
                f"the tokenizer has {tokenizer.vocab_size:,} ids, but model.vocab_size is "
                f"{model.config.vocab_size:,}; a model is used with the tokenizer that it was trained with"
            )
        self._copy = None if precision == "fp32" else decoder_at(model, tokenizer.vocab_size, precision)
        self.model, self.tokenizer, self.notify = model, tokenizer, notify

    def generate(self, prompts: Sequence[str], sampling: Sampling | None = None) -> list[Sample]:
        """A sample for each prompt, in their order; an empty prompt begins a new text.

        Sample i draws the same random numbers whatever the other prompts are, and the same as `stream` with index i.
        """
        if isinstance(prompts, str):
            raise TypeError("generate takes a list of prompts; [prompt] is one of one")
        sampling = sampling or Sampling()
        prompts = [trimmed(prompt) for prompt in prompts]
        encoded = self._encode(prompts)
        samples: dict[int, Sample] = {}
        windowed = False
        for indices in _batches(encoded, self.model.config, sampling.max_new_tokens):
            batch = self._batch([encoded[i] for i in indices], indices, sampling)
            with _evaluating(self.model):
                while batch.running:
                    batch.step()
            windowed = windowed or batch.windowed
            for row, i in enumerate(indices):
                samples[i] = self._sample(prompts[i], batch, row)
        if windowed:
            self._notify_of_window()
        return [samples[i] for i in range(len(prompts))]

    def stream(self, prompt: str, sampling: Sampling | None = None, index: int = 0) -> Generator[str, None, None]:
        """What comes after the `trimmed` prompt, as it is generated: whole characters, together the `continuation` of
        what `generate` returns.
        """
        decoder, ids = _text_decoder(), self.tokenizer.encode(trimmed(prompt))
        for number, token in enumerate(self.stream_tokens(ids, sampling, index)):
            if piece := decoder.decode(self.tokenizer.after_prompt(token, not ids and not number)):
                yield piece

    def stream_tokens(
        self, ids: Sequence[int], sampling: Sampling | None = None, index: int = 0
    ) -> Generator[int, None, bool]:
        """The token ids that come after these, one by one as they are generated, without the end of text. Returns
        whether the model ended the text.

        Ids, unlike text, can continue from any token: the same letters could be split into other tokens.
        """
        batch = self._batch(self._fitted([ids]), [index], sampling or Sampling())
        notified = False
        with _evaluating(self.model):
            while batch.running:
                batch.step()
                if batch.windowed and not notified:
                    self._notify_of_window()
                    notified = True
                if batch.counts[0] == batch.steps:
                    yield int(batch.generated[0, batch.steps - 1])
        return bool(batch.finished[0])

    def _encode(self, prompts: list[str]) -> list[list[int]]:
        """Ids of each prompt after an end of text, as in training: the newest that fit the context."""
        return self._fitted(self.tokenizer.encode_batch(prompts))

    def _fitted(self, prompts: Sequence[Sequence[int]]) -> list[list[int]]:
        context = self.model.config.context_length
        encoded = [[self.tokenizer.begin_id, *ids] for ids in prompts]
        longest = max(map(len, encoded), default=0)
        if longest > context:
            self.notify(
                f"a prompt of {longest - 1:,} tokens is longer than the model's context of {context:,}; "
                f"only its newest {context:,} are read"
            )
        return [ids[-context:] for ids in encoded]

    def _batch(self, encoded: list[list[int]], indices: list[int], sampling: Sampling) -> GenerationBatch:
        decoder = self._copy or Decoder(self.model, self.tokenizer.vocab_size)
        return GenerationBatch(decoder, encoded, indices, sampling, self.tokenizer.ends, self.tokenizer.unused)

    def _sample(self, prompt: str, batch: GenerationBatch, row: int) -> Sample:
        count = int(batch.counts[row])
        ids = batch.generated[row, :count].tolist()
        generated = b"".join(self.tokenizer.after_prompt(n, not prompt and not i) for i, n in enumerate(ids))
        text = prompt + _text_decoder().decode(generated)
        return Sample(prompt=prompt, text=text, new_tokens=count, finished=bool(batch.finished[row]))

    def _notify_of_window(self) -> None:
        context = self.model.config.context_length
        self.notify(
            f"a story is longer than the model's context of {context:,} tokens; past that it continues from its newest "
            f"{context // 2:,} to {context:,}, and the model no longer sees how it began"
        )


def _text_decoder() -> codecs.IncrementalDecoder:
    """Bytes to text: bytes that are not UTF-8 become U+FFFD; an incomplete character is held back."""
    return codecs.getincrementaldecoder("utf-8")("replace")


def _batches(encoded: list[list[int]], config: ModelConfig, new_tokens: int) -> Iterator[list[int]]:
    """The indices of the prompts, in batches of similar lengths that fit into memory."""
    by_length = sorted(range(len(encoded)), key=lambda i: -len(encoded[i]))
    while by_length:
        count = _rows_in_memory(config, len(encoded[by_length[0]]), new_tokens)
        yield by_length[:count]
        by_length = by_length[count:]


def _rows_in_memory(config: ModelConfig, prompt_length: int, new_tokens: int) -> int:
    """How many rows a batch may have, by the memory of each: its cache, its prompt's activations and its logits."""
    kept = min(config.context_length, prompt_length + new_tokens)
    cache = 2 * config.n_layers * config.kv_heads * config.head_dim * kept
    reading = max(prompt_length, config.context_length // 2 if kept == config.context_length else 0)
    activations = reading * (8 * config.d_model + 3 * config.d_ff)
    values = cache + activations + 4 * config.vocab_size  # logits, and what sampling makes of them
    return max(1, min(MAX_ROWS, BATCH_BYTES // (4 * values)))


@contextmanager
def _evaluating(model: GPT) -> Iterator[None]:
    """The model in evaluation mode, and afterwards as it was."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)
