"""Generation from prompts to text, many samples at once or streamed."""

from __future__ import annotations

import codecs
import logging
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from talewright.errors import UserError
from talewright.generate.batching import ContinuousBatch, Request, generate_all
from talewright.generate.fast_decode import Decoder
from talewright.generate.hooked_decode import make_decoder
from talewright.generate.quantization import WeightPrecision, decoder_at
from talewright.generate.sampling import Sampling
from talewright.generate.speculation import Draft
from talewright.model.gpt import GPT
from talewright.tokenizer import Tokenizer

logger = logging.getLogger(__name__)


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
        draft: Draft | None = None,
    ) -> None:
        """precision: of the weights; less than fp32 generates with a copy of the model as it is now. draft: for
        speculative decoding, where that is faster and the text the same: on a CPU, and at fp32, because with fewer bits
        a pass over several tokens rounds so differently that another token may be drawn. Raises UserError if the
        tokenizer has more ids than the model.
        """
        if tokenizer.vocab_size > model.config.vocab_size:
            raise UserError(
                f"the tokenizer has {tokenizer.vocab_size:,} ids, but model.vocab_size is "
                f"{model.config.vocab_size:,}; a model is used with the tokenizer that it was trained with"
            )
        self._copy = None if precision == "fp32" else decoder_at(model, tokenizer.vocab_size, precision)
        self.model, self.tokenizer, self.notify = model, tokenizer, notify
        self._draft = draft if precision == "fp32" and model.output_weight.device.type == "cpu" else None

    def generate(self, prompts: Sequence[str], sampling: Sampling | None = None) -> list[Sample]:
        """A sample for each prompt, in their order; an empty prompt begins a new text.

        Sample i draws the same random numbers whatever the other prompts are, and the same as `stream` with index i.
        """
        if isinstance(prompts, str):
            raise TypeError("generate takes a list of prompts; [prompt] is one of one")
        sampling = sampling or Sampling()
        prompts = [trimmed(prompt) for prompt in prompts]
        encoded = self.fitted(self.tokenizer.encode_batch(prompts))
        requests = [Request(prompt=ids, sampling=sampling, index=i) for i, ids in enumerate(encoded)]
        by_length = sorted(requests, key=lambda request: -len(request.prompt))
        with _evaluating(self.model):
            generate_all(self._decoder(), by_length, self.tokenizer.ends, self.tokenizer.unused, self._draft)
        if any(request.windowed for request in requests):
            self.notify_of_window()
        return [self._sample(prompt, request) for prompt, request in zip(prompts, requests, strict=True)]

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
        request = Request(prompt=self.fitted([ids])[0], sampling=sampling or Sampling(), index=index)
        batch, notified = self.batch(), False
        batch.add(request)
        with _evaluating(self.model):
            while batch.busy:
                count = len(request.tokens)
                batch.step()
                if request.windowed and not notified:
                    self.notify_of_window()
                    notified = True
                yield from request.tokens[count:]
        return request.finished

    def fitted(self, prompts: Sequence[Sequence[int]]) -> list[list[int]]:
        """The ids of each prompt after an end of text, as in training: the newest that fit the context.

        Raises UserError at what is no id.
        """
        context, size = self.model.config.context_length, self.tokenizer.vocab_size
        wrong = [bad for ids in prompts if ids for bad in (min(ids), max(ids)) if not 0 <= bad < size]
        if wrong:
            raise UserError(f"{wrong[0]} is no token id of this model; they are 0 to {size - 1:,}")
        encoded = [[self.tokenizer.begin_id, *ids] for ids in prompts]
        longest = max(map(len, encoded), default=0)
        if longest > context:
            self.notify(
                f"a prompt of {longest - 1:,} tokens is longer than the model's context of {context:,}; "
                f"only its newest {context:,} are read"
            )
        return [ids[-context:] for ids in encoded]

    def batch(self) -> ContinuousBatch:
        """An empty batch of this model, for requests whose prompts are `fitted`."""
        return ContinuousBatch(self._decoder(), self.tokenizer.ends, self.tokenizer.unused, self._draft)

    def _decoder(self) -> Decoder:
        return self._copy or make_decoder(self.model, self.tokenizer.vocab_size)

    def _sample(self, prompt: str, request: Request) -> Sample:
        ids = enumerate(request.tokens)
        generated = b"".join(self.tokenizer.after_prompt(token, not prompt and not i) for i, token in ids)
        text = prompt + _text_decoder().decode(generated)
        return Sample(prompt=prompt, text=text, new_tokens=len(request.tokens), finished=request.finished)

    def notify_of_window(self) -> None:
        """Say that a text went past the model's context."""
        context = self.model.config.context_length
        self.notify(
            f"a story is longer than the model's context of {context:,} tokens; past that it continues from its newest "
            f"{context // 2:,} to {context:,}, and the model no longer sees how it began"
        )


def _text_decoder() -> codecs.IncrementalDecoder:
    """Bytes to text: bytes that are not UTF-8 become U+FFFD; an incomplete character is held back."""
    return codecs.getincrementaldecoder("utf-8")("replace")


@contextmanager
def _evaluating(model: GPT) -> Iterator[None]:
    """The model in evaluation mode, and afterwards as it was."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)
