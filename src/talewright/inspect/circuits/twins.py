"""Twin questions as pairs of prompts of the same length, whose right answers are each other's wrong ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from talewright.evaluate.multiple_choice.scoring import Question
from talewright.tokenizer import Tokenizer


@dataclass(frozen=True, kw_only=True)
class Twins:
    """The twin questions of one kind. Each pair gives two rows: either question once as the clean prompt, with the
    other as the corrupted one.
    """

    kind: str
    clean: Tensor
    """(N, T): an end of text, the context and what both endings share; padded on the right."""
    corrupt: Tensor
    """(N, T): the twin of each row, of the same length."""
    last: Tensor
    """(N,): position of the last token, after which the answer comes."""
    right: Tensor
    """(N,): the first token of the right ending that the wrong one does not have there."""
    wrong: Tensor
    """(N,): the token of the wrong ending there."""
    skipped: int
    """Pairs left out: their prompts have different numbers of tokens, so that positions do not correspond, or do not
    fit the context, or an ending begins with different tokens in the two."""

    @property
    def pairs(self) -> int:
        return len(self.clean) // 2

    def rows(self, chosen: slice) -> Twins:
        """Some of the rows, without the padding that they do not need."""
        last = self.last[chosen]
        texts = (each[chosen, : int(last.max()) + 1] for each in (self.clean, self.corrupt))
        clean, corrupt = texts
        right, wrong = self.right[chosen], self.wrong[chosen]
        return Twins(
            kind=self.kind, clean=clean, corrupt=corrupt, last=last, right=right, wrong=wrong, skipped=self.skipped
        )

    def to(self, device: torch.device) -> Twins:
        tensors = {name: getattr(self, name).to(device) for name in ("clean", "corrupt", "last", "right", "wrong")}
        return Twins(kind=self.kind, skipped=self.skipped, **tensors)


def make_twins(kind: str, questions: Sequence[Question], tokenizer: Tokenizer, context_length: int) -> Twins:
    """Encode the questions of this kind. Adjacent questions are twins: they have the same choices, and the right one
    of each is the wrong one of the other.
    """
    own = [question for question in questions if question.kind == kind]
    rows: list[tuple[list[int], list[int], int, int]] = []  # clean, corrupt, right, wrong
    skipped = 0
    for pair in zip(own[::2], own[1::2], strict=True):
        (first, answers), (second, others) = (_encode(question, tokenizer) for question in pair)
        if len(first) != len(second) or answers != others or None in answers or len(first) > context_length:
            skipped += 1
            continue
        (a, b) = answers[pair[0].answer], answers[1 - pair[0].answer]
        assert a is not None
        assert b is not None
        rows += [(first, second, a, b), (second, first, b, a)]
    rows.sort(key=lambda row: -len(row[0]))  # stable, so twins stay adjacent; batches need little padding
    lengths = [len(clean) for clean, *_ in rows]
    clean, corrupt = (torch.zeros(len(rows), max(lengths, default=0), dtype=torch.long) for _ in range(2))
    for number, row in enumerate(rows):
        clean[number, : lengths[number]], corrupt[number, : lengths[number]] = map(torch.tensor, row[:2])
    right, wrong = (torch.tensor([row[column] for row in rows], dtype=torch.long) for column in (2, 3))
    last = torch.tensor(lengths, dtype=torch.long) - 1
    return Twins(kind=kind, clean=clean, corrupt=corrupt, last=last, right=right, wrong=wrong, skipped=skipped)


def _encode(question: Question, tokenizer: Tokenizer) -> tuple[list[int], tuple[int | None, int | None]]:
    """The tokens that both endings share, after an end of text, and the first token of each that differs."""
    one, other = ([tokenizer.begin_id, *ids] for ids in tokenizer.encode_batch(_wholes(question)))
    shared = 0
    while shared < min(len(one), len(other)) and one[shared] == other[shared]:
        shared += 1
    next_tokens = tuple(ids[shared] if shared < len(ids) else None for ids in (one, other))
    return one[:shared], (next_tokens[0], next_tokens[1])


def _wholes(question: Question) -> list[str]:
    first, second = question.choices
    return [question.context + first, question.context + second]
