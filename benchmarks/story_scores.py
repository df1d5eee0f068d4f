"""Scores of stories that no model, or no trained one, has told: do the figures put them in the order of a reader?

    python benchmarks/story_scores.py TRAIN VALID [--stories 200] [--told NAME=FILE ...]

TRAIN and VALID are texts with <|endoftext|> between stories. Scored are real stories, training stories, stories of
the bundled grammar, of a 5-gram model, shuffled words, and told ones (a JSON list of objects with "text"). Prints
tables of Markdown.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path

import numpy as np

from talewright.config import DataConfig
from talewright.data import read_stories
from talewright.evaluate.copies import Copies
from talewright.evaluate.copying import figures
from talewright.evaluate.kneser_ney import KneserNey, count_grams
from talewright.evaluate.tables import as_markdown, rows_of
from talewright.evaluate.told import Reference, story_figures
from talewright.evaluate.words import words_of
from talewright.tokenizer.bpe import train_bpe


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train")
    parser.add_argument("valid")
    parser.add_argument("--stories", type=int, default=200)
    parser.add_argument("--told", action="append", default=[], metavar="NAME=FILE")
    asked = parser.parse_args()
    train, valid = (list(read_stories(DataConfig(source=source))) for source in (asked.train, asked.valid))
    count = asked.stories
    rng = random.Random(0)
    kinds = {
        "real stories": valid[count : 2 * count],
        "training stories": rng.sample(train, count),
        "bundled grammar": list(read_stories(DataConfig(source="bundled", limit=count))),
        "5-gram model": five_gram_stories(train, count),
        "shuffled words": [shuffled(text, rng) for text in valid[count : 2 * count]],
    }
    for named in asked.told:
        name, _, file = named.partition("=")
        kinds[name] = [story["text"] for story in json.loads(Path(file).read_text(encoding="utf-8"))][:count]
    reference = Reference(valid[:count], frozenset(word for text in train for word in words_of(text)))
    told = [(name, story_figures(texts, reference)) for name, texts in kinds.items()]
    print(as_markdown(rows_of("told", told)), flush=True)
    copies, ends = Copies([text for texts in kinds.values() for text in texts]), 0
    copies.read(map(words_of, train))
    copied = []
    for name, texts in kinds.items():
        copied.append((name, figures(copies, range(ends, ends + len(texts)))))
        ends += len(texts)
    print("", as_markdown(rows_of("copying", copied)), sep="\n")


def shuffled(text: str, rng: random.Random) -> str:
    words = text.split()
    return " ".join(rng.sample(words, len(words)))


def five_gram_stories(train: list[str], count: int) -> list[str]:
    """Stories drawn token by token from a 5-gram model of the training stories, over a BPE of 8,000 tokens."""
    tokenizer = train_bpe(train, 8000)
    stories = [np.array(ids, dtype=np.int64) for ids in tokenizer.encode_batch(train)]
    model = KneserNey(count_grams(stories, tokenizer.eos_id, tokenizer.vocab_size, 5), 5, tokenizer.eos_id)
    rng, told = np.random.default_rng(0), []
    for _ in range(count):
        ids: list[int] = []
        while len(ids) < 400:
            cumulative = model.distribution(ids).cumsum()
            token = int(np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right"))
            if token == tokenizer.eos_id:
                break
            ids.append(token)
        told.append(tokenizer.decode(ids))
    return told


if __name__ == "__main__":
    main()
