"""Byte-level BPE trained on the training stories (Sennrich et al. 2016, arXiv:1508.07909; on bytes: GPT-2, 2019)."""

from __future__ import annotations

from collections.abc import Iterable

from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer

from talewright.config import EOT
from talewright.tokenizer.base import BYTE_LETTERS, Tokenizer, new_backend
from talewright.tokenizer.pieces import taught


def train_bpe(stories: Iterable[str], vocab_size: int) -> Tokenizer:
    """The same tokenizer for the same stories: id 0 is the end of text, the 256 bytes follow, then what is merged.

    Smaller than vocab_size where no pair of tokens is left that stands in the stories twice.
    """
    backend = new_backend(BPE())
    trainer = BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=2,  # a pair met once is a copy of its story, nothing to learn from
        special_tokens=[EOT],
        initial_alphabet=BYTE_LETTERS,
        show_progress=False,
    )
    backend.train_from_iterator(taught(stories), trainer)
    return Tokenizer.from_backend(backend)
