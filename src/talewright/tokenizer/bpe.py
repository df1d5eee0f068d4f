"""Byte-level BPE trained on the training stories (Sennrich et al. 2016, arXiv:1508.07909; on bytes: GPT-2, 2019)."""

from __future__ import annotations

from collections.abc import Iterable

from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer

from talewright.config import EOT
from talewright.tokenizer.base import BYTE_LETTERS, Tokenizer, new_backend
from talewright.tokenizer.pieces import training_pieces


def train_bpe(stories: Iterable[str], vocab_size: int) -> Tokenizer:
    """Train a BPE; the same stories give the same one. Id 0 is the end of text, then come 256 bytes, then merges.

    Smaller than vocab_size if no pair of tokens that occurs twice is left.
    """
    backend = new_backend(BPE())
    trainer = BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=2,
        special_tokens=[EOT],
        initial_alphabet=BYTE_LETTERS,
        show_progress=False,
    )
    backend.train_from_iterator(training_pieces(stories), trainer)
    return Tokenizer.from_backend(backend)
