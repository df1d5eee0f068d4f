"""Tokenizers behind one interface: GPT-2's BPE, one trained here, or GPT-2's most frequent tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from talewright.config import TokenizerConfig
from talewright.errors import UserError
from talewright.files import expand_home
from talewright.tokenizer.base import Tokenizer

__all__ = ["Tokenizer", "make_tokenizer"]

_SMALLEST = 257  # 256 bytes and the end of text


def make_tokenizer(config: TokenizerConfig, vocab_size: int, stories: Callable[[], Iterable[str]]) -> Tokenizer:
    """The tokenizer of a recipe.

    vocab_size counts all ids with the end of text; the result is smaller if the stories have too few tokens to learn.
    stories() gives those of the training split. gpt2 and saved use neither.
    Raises UserError if files are not available or the size is too small for all bytes.
    """
    if config.kind == "saved":
        return Tokenizer.load(expand_home(config.source))
    if config.kind != "gpt2" and vocab_size < _SMALLEST:
        raise UserError(f"model.vocab_size is {vocab_size}; tokenizer.kind {config.kind} needs {_SMALLEST} or more")
    if config.kind == "bpe":
        from talewright.tokenizer.bpe import train_bpe

        return train_bpe(stories(), vocab_size)
    from talewright.tokenizer.gpt2 import load_gpt2

    bpe = load_gpt2(config.source)
    whole = Tokenizer.from_merges(bpe)
    if config.kind == "gpt2":
        return whole
    from talewright.tokenizer.most_frequent import most_frequent
    from talewright.tokenizer.stats import count

    return Tokenizer.from_merges(most_frequent(bpe, count(whole, stories()).by_id, vocab_size - 1))
