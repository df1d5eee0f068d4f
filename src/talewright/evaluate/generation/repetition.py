"""Whether stories repeat themselves, and one another."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

from talewright.evaluate.generation.ngrams import Gram, grams

ALIKE = 3
"""A sentence that a story has this often, or words said this often in a row, are a loop."""
LOOP_WORDS = 12
"""Words of the longest part that is looked for in a row."""
_SENTENCE = re.compile(r"[^.!?]+")


def repeated(words: Sequence[str], n: int = 4) -> float:
    """Share of a story's n-grams that stood in it before (`seq-rep-n`, Welleck et al. 2020, arXiv:1908.04319)."""
    found = grams(words, n)
    return 1 - len(set(found)) / len(found) if found else 0.0


def loops(text: str, words: Sequence[str]) -> bool:
    """Whether a story turns in a circle: a sentence of four words or more three times, or the same few words three
    times one right after another (a single word six times: "very, very, very" is how stories are told).
    """
    sentences = Counter(" ".join(found.split()) for found in _SENTENCE.findall(text.lower()))
    if any(times >= ALIKE and len(sentence.split()) >= 4 for sentence, times in sentences.items()):
        return True
    for size in range(1, LOOP_WORDS + 1):
        run, needed = 0, size * (ALIKE - 1) if size > 1 else 2 * ALIKE - 1
        for i in range(size, len(words)):
            run = run + 1 if words[i] == words[i - size] else 0
            if run >= needed:
                return True
    return False


def distinct(stories: Sequence[Sequence[str]], n: int, words: int) -> float:
    """Share of different n-grams among those of the first so many words of all stories (distinct-n, Li et al. 2016,
    arXiv:1510.03055): more words hold more that was said before, so that only equal numbers can be compared.
    """
    found: list[Gram] = []
    for story in stories:
        found += grams(story[:words], n)
        words -= len(story[:words])
    return len(set(found)) / len(found) if found else 0.0


def self_bleu(stories: Sequence[Sequence[str]], most: int = 4) -> float:
    """Mean BLEU-4 of each story against all the others (Zhu et al. 2018, arXiv:1802.01886): 1 where all say the same.
    Where no n-gram is shared a tenth of one is (smoothing 1 of Chen & Cherry 2014), but 0 where no word is. 0 for fewer
    than two stories.
    """
    if len(stories) < 2:
        return 0.0
    logs, told = [0.0] * len(stories), [len(story) for story in stories]
    for n in range(1, most + 1):
        counts = [Counter(grams(story, n)) for story in stories]
        first, second = _two_highest(counts)
        for i, own in enumerate(counts):
            total = max(1, sum(own.values()))
            # Each gram's highest count among the others: that of all, or the next where it is this story's own.
            hits = sum(min(times, second[gram] if first[gram] == times else first[gram]) for gram, times in own.items())
            logs[i] += math.log(max(hits, 0.1) / total) / most if hits or n > 1 else -math.inf
    penalties = [_brevity(told, i) for i in range(len(told))]
    return sum(
        penalty * math.exp(log) if length else 0.0 for penalty, log, length in zip(penalties, logs, told, strict=True)
    ) / len(stories)


def _two_highest(counts: Sequence[Counter[Gram]]) -> tuple[Counter[Gram], Counter[Gram]]:
    """Of each n-gram the highest count in a story, and the highest of the other stories."""
    first, second = Counter[Gram](), Counter[Gram]()
    for own in counts:
        for gram, times in own.items():
            if times > first[gram]:
                first[gram], second[gram] = times, first[gram]
            else:
                second[gram] = max(second[gram], times)
    return first, second


def _brevity(lengths: Sequence[int], i: int) -> float:
    """BLEU's penalty of story i, where it is shorter than the story nearest to it in length."""
    closest = min((abs(other - lengths[i]), other) for j, other in enumerate(lengths) if j != i)[1]
    return 1.0 if lengths[i] > closest else math.exp(1 - closest / max(1, lengths[i]))
