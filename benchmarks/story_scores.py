"""Scores of stories that no model has told, or one that nobody would want: do the figures put them in a reader's order?

    python benchmarks/story_scores.py TRAIN VALID OUT [--stories 200] [--limit N] [--run NAME=RUN ...] [--untrained RUN]
    talewright scores RUN OUT/*

TRAIN and VALID are texts with <|endoftext|> between stories. Scored are training stories, stories of the bundled
grammar, of a 5-gram model, shuffled words, those that a run tells and those that a run's model tells before training.
Of each kind OUT gets a folder with a scores.json, set against VALID (its first N stories) as `talewright evaluate RUN
--data VALID --limit N` does it.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

import numpy as np

from talewright import __version__, api
from talewright.config import DataConfig
from talewright.data import read_stories
from talewright.evaluate.baselines.kneser_ney import KneserNey, count_grams
from talewright.evaluate.context import Telling
from talewright.evaluate.evaluator import FILE, FORMAT, VERSION, held_out_facts
from talewright.evaluate.generation.ngrams import words_of
from talewright.evaluate.generation.quality import Reference, story_figures
from talewright.evaluate.memorization import figures
from talewright.evaluate.text_overlap import Copies
from talewright.files import write_json
from talewright.generate.engine import Engine
from talewright.tokenizer.bpe import train_bpe


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("train", "valid", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--stories", type=int, default=200)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--run", action="append", default=[], metavar="NAME=RUN")
    parser.add_argument("--untrained", metavar="RUN")
    asked = parser.parse_args()
    train, valid = (list(read_stories(DataConfig(source=str(path)))) for path in (asked.train, asked.valid))
    valid = valid[: asked.limit]
    kinds = kinds_of_no_model(train, valid, asked.stories)
    for named in asked.run:
        name, _, folder = named.partition("=")
        kinds[name] = told_by(api.load(folder), asked.stories)
    if asked.untrained:
        kinds["untrained"] = told_by(api.load(asked.untrained), asked.stories, untrained=True)
    facts = held_out_facts(asked.valid.name, valid)
    reference = Reference(valid[: asked.stories], frozenset(word for text in train for word in words_of(text)))
    copies, start = Copies([text for texts in kinds.values() for text in texts]), 0
    copies.read(map(words_of, train))
    for name, texts in kinds.items():
        copied = figures(copies, range(start, start + len(texts)))
        start += len(texts)
        write_scores(asked.out, name, facts, {"told": story_figures(texts, reference), "copying": copied})
        print(asked.out / name, flush=True)


def kinds_of_no_model(train: list[str], valid: list[str], count: int) -> dict[str, list[str]]:
    """Stories by the name of their kind."""
    rng = random.Random(0)
    return {
        "training stories": rng.sample(train, count),
        "bundled grammar": list(read_stories(DataConfig(source="bundled", limit=count))),
        "5-gram": five_gram_stories(train, count),
        "shuffled words": [shuffled(text, rng) for text in valid[count : 2 * count]],
    }


def told_by(run: api.Run, count: int, untrained: bool = False) -> list[str]:
    """Stories as an evaluation has them told."""
    engine = Engine(run.initial_model() if untrained else run.model, run.tokenizer, notify=lambda words: None)
    return [story.text for story in engine.generate([""] * count, Telling.sampling)]


def write_scores(out: Path, name: str, facts: dict, parts: dict) -> None:
    """A scores.json of texts that are no run's."""
    folder = out / name.replace(" ", "-")
    folder.mkdir(parents=True, exist_ok=True)
    scores = {"format": FORMAT, "version": VERSION, "talewright": __version__, "name": name}
    scores |= {"run": {"folder": folder.name, "checkpoint": None}, "held_out": facts, "parts": parts}
    write_json(folder / FILE, scores)


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
