"""Whether a model tells what it has learned by heart, and whether its splits share stories.

Three looks, after TinyStories (Eldan & Li 2023, arXiv:2305.07759, on memorisation): passages of told stories that stand
word for word in the training stories, the training story that is nearest to each told one by ROUGE-2, and how the model
goes on with the beginnings of training stories, beside beginnings that it has never seen. Words are compared, in small
letters and without marks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from talewright.evaluate.context import Subject
from talewright.evaluate.generation.ngrams import rouge_precision, words_of
from talewright.evaluate.text_overlap import Copies
from talewright.generate.engine import Engine

N = 10
"""Words of a passage that is called copied: by chance, or because stories are all told so, few agree for so long."""
CONTINUED = 50
"""Training stories, and as many held-out ones, that the model goes on with."""
BEGINNING = 0.4
"""Share of a story's tokens that it is given."""
DIGEST = np.dtype([("first", "u8"), ("second", "u8")])
"""What a text is known by: sorted and compared as two numbers."""


def copying_part(subject: Subject) -> dict[str, Any]:
    """The figures of the stories that the model tells, beside those of as many that it has never seen."""
    told = [story.text for story in subject.told]
    unseen = subject.texts[: len(told)]
    copies, splits = Copies(told + unseen), Splits(subject.texts)
    copies.read(splits.passing(map(words_of, subject.train_texts())))
    subject.say("beginnings of stories, continued")
    return {
        **figures(copies, range(len(told))),
        "held_out": figures(copies, range(len(told), len(told) + len(unseen))),
        "splits": splits.figures(),
        "continued": _continued(subject),
    }


def copied_figures(texts: Sequence[str], training: Iterable[str]) -> dict[str, Any]:
    """The figures of any list of texts against training stories."""
    copies = Copies(texts)
    copies.read(map(words_of, training))
    return figures(copies, range(len(texts)))


def figures(copies: Copies, which: range) -> dict[str, Any]:
    """What some of the told texts have from the texts that were read."""
    passages, starts = copies.passages(), np.cumsum(copies.lengths) - copies.lengths
    whole = [passages[starts[i] : starts[i] + copies.lengths[i]] for i in which]
    longest = np.array([part.max(initial=0) for part in whole])
    shares = copies.shares(N)[which.start : which.stop]
    grams = np.maximum(copies.lengths[which.start : which.stop] - N + 1, 0)
    nearest, rouge = (values[which.start : which.stop] for values in copies.nearest())
    most = sorted(range(len(which)), key=lambda i: (-longest[i], i))[:3]
    return {
        "longest": int(longest.max(initial=0)),
        "longest_mean": _mean(longest),
        "copied_10grams": float((shares * grams).sum() / max(1, grams.sum())),
        "half_copied": _mean(shares >= 0.5),
        "nearest_rouge2": _mean(rouge),
        "nearest_rouge2_highest": float(rouge.max(initial=0)),
        "nearest": nearest.tolist(),
        "examples": [_example(copies, which[i], whole[i]) for i in most if longest[i]],
    }


class Splits:
    """Stories that stand in two splits, or twice in one. A text is known by a hash of 128 bits of its words, which is
    all that is kept of it.
    """

    def __init__(self, held_out: Sequence[str]) -> None:
        self.copies = Copies(held_out, longest=N, nearest=False)
        self.seen = bytearray()

    def passing(self, texts: Iterable[Sequence[str]]) -> Iterator[Sequence[str]]:
        """The training stories, each as its words, looked at as they pass by."""
        some: list[Sequence[str]] = []
        for words in texts:
            self.seen += _digest(words)
            some.append(words)
            if len(some) == 1000:
                self.copies.read(some)
                some = []
            yield words
        self.copies.read(some)

    def figures(self) -> dict[str, int]:
        """Counts of stories."""
        own = np.frombuffer(b"".join(map(_digest, self.copies.words)), DIGEST)
        known = np.unique(np.frombuffer(self.seen, DIGEST))
        return {
            "training_stories": self.copies.texts_read,
            "held_out_stories": len(self.copies.words),
            "doubled_in_training": self.copies.texts_read - len(known),
            "in_both": int(np.isin(own, known).sum()),
            "half_in_training": int((self.copies.shares(N) >= 0.5).sum()),
        }


def _continued(subject: Subject) -> dict[str, float]:
    """ROUGE-2 precision of what the model tells after the beginnings of stories against what follows there, always the
    likeliest token taken: of training stories, and of held-out ones.
    """
    train, held_out, found = subject.train, subject.held_out.stories, {}
    every = max(1, train.n_stories // CONTINUED)
    some = [train.story(i) for i in range(0, train.n_stories, every)][:CONTINUED]
    engine = Engine(subject.model, subject.tokenizer, notify=lambda words: None)
    sampling = replace(subject.telling.sampling, temperature=0.0, max_new_tokens=100)
    for name, stories in {"training": some, "held_out": held_out[:CONTINUED]}.items():
        cuts = [max(1, int(BEGINNING * len(story))) for story in stories]
        prompts = subject.tokenizer.decode_batch(story[:cut] for story, cut in zip(stories, cuts, strict=True))
        rests = subject.tokenizer.decode_batch(story[cut:] for story, cut in zip(stories, cuts, strict=True))
        told = engine.generate(prompts, sampling)
        found[name] = _mean(
            rouge_precision(words_of(story.text[len(prompt) :]), words_of(rest), 2)
            for story, prompt, rest in zip(told, prompts, rests, strict=True)
        )
    return found


def _example(copies: Copies, i: int, passages: np.ndarray) -> dict[str, Any]:
    """The longest passage of a told text that was met."""
    place = int(passages.argmax())
    length = int(passages[place])
    start = int(copies.lengths[:i].sum())
    return {
        "story": i,
        "words": length,
        "passage": " ".join(copies.words[i][place : place + length]),
        "training_story": copies.source(start + place, length),
    }


def _digest(words: Sequence[str]) -> bytes:
    return hashlib.blake2b(" ".join(words).encode(), digest_size=DIGEST.itemsize).digest()


def _mean(values: Iterable[Any]) -> float:
    every = [float(value) for value in values]
    return sum(every) / max(1, len(every))
