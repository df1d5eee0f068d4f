"""Tokenizers behind one interface: GPT-2's BPE, one trained here, or GPT-2's most frequent tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from talewright.config import TokenizerConfig
from talewright.errors import UserError
from talewright.tokenizer.base import Tokenizer

__all__ = ["Tokenizer", "make_tokenizer"]

SMALLEST = 257  # 256 bytes and the end of text


def make_tokenizer(config: TokenizerConfig, vocab_size: int, stories: Callable[[], Iterable[str]]) -> Tokenizer:
    """The tokenizer that a recipe asks for.

    vocab_size counts all ids, the end of text among them; the result is smaller where the stories give too little to
    learn from. stories() gives those of the training split alone. gpt2 and saved look at neither.
    Raises UserError where the files cannot be had or the size is too small for all bytes.
    """
    if config.kind == "saved":
        return Tokenizer.load(Path(config.source).expanduser())
    if config.kind != "gpt2" and vocab_size < SMALLEST:
        raise UserError(f"model.vocab_size is {vocab_size}; tokenizer.kind {config.kind} needs {SMALLEST} or more")
    if config.kind == "bpe":
        from talewright.tokenizer.bpe import train_bpe

        return train_bpe(stories(), vocab_size)
    from talewright.tokenizer.gpt2 import load_gpt2

    bpe = load_gpt2(config.source)
    whole = Tokenizer.from_merges(bpe)
    if config.kind == "gpt2":
        return whole
    from talewright.tokenizer.stats import count
    from talewright.tokenizer.top import most_frequent

    return Tokenizer.from_merges(most_frequent(bpe, count(whole, stories()).by_id, vocab_size - 1))
