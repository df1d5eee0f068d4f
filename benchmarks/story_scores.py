"""Scores of good, bad and shuffled stories: do the figures order them as a reader would?

    python benchmarks/story_scores.py TRAIN VALID OUT [--stories 200] [--limit N] [--run NAME=RUN ...] [--untrained RUN]
    talewright evaluate compare RUN OUT/*

TRAIN and VALID are texts with <|endoftext|> between stories. Scored are training stories, stories of the bundled
grammar, of a 5-gram model, shuffled words, stories that a run generates, and those of a run's model before training.
OUT gets a folder with a scores.json for each kind, compared with VALID (its first N stories) as `talewright evaluate
RUN --data VALID --limit N` does.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

import numpy as np

from talewright import __version__, api
from talewright.config import DataConfig
from talewright.data import read_stories
from talewright.data.corpus import evenly_spread
from talewright.evaluate.baselines.kneser_ney import KneserNey, count_ngrams
from talewright.evaluate.context import GenerationOptions
from talewright.evaluate.generation.classifier import RealStyle
from talewright.evaluate.generation.quality import quality_figures
from talewright.evaluate.memorization import overlap_figures
from talewright.evaluate.ngrams import words_of
from talewright.evaluate.scores import FORMAT, VERSION, held_out_facts, scores_path
from talewright.evaluate.text_overlap import OverlapSearch
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
    options = parser.parse_args()
    train, valid = (list(read_stories(DataConfig(source=str(path)))) for path in (options.train, options.valid))
    valid = valid[: options.limit]
    some = [valid[i] for i in evenly_spread(2 * options.stories, len(valid))]
    kinds = kinds_of_no_model(train, some[1::2], options.stories)
    for named in options.run:
        name, _, folder = named.partition("=")
        kinds[name] = generated_by(api.load(folder), options.stories)
    if options.untrained:
        kinds["untrained"] = generated_by(api.load(options.untrained), options.stories, untrained=True)
    facts = held_out_facts(options.valid.name, valid)
    real, vocabulary = RealStyle(some[::2]), frozenset(word for text in train for word in words_of(text))
    search, start = OverlapSearch([text for texts in kinds.values() for text in texts]), 0
    search.read(map(words_of, train))
    for name, texts in kinds.items():
        memorization = overlap_figures(search, range(start, start + len(texts)))
        start += len(texts)
        tasks = {"generation": quality_figures(texts, real, vocabulary), "memorization": memorization}
        write_text_scores(options.out, name, facts, tasks)
        print(options.out / name, flush=True)


def kinds_of_no_model(train: list[str], held_out: list[str], count: int) -> dict[str, list[str]]:
    """Stories by the name of their kind."""
    rng = random.Random(0)
    return {
        "training stories": rng.sample(train, count),
        "bundled grammar": list(read_stories(DataConfig(source="bundled", limit=count))),
        "5-gram": five_gram_stories(train, count),
        "shuffled words": [shuffled(text, rng) for text in held_out],
    }


def generated_by(run: api.Run, count: int, untrained: bool = False) -> list[str]:
    """Stories generated as in an evaluation."""
    engine = Engine(run.initial_model() if untrained else run.model, run.tokenizer, notify=lambda words: None)
    return [story.text for story in engine.generate([""] * count, GenerationOptions.sampling)]


def write_text_scores(out: Path, name: str, facts: dict, tasks: dict) -> None:
    """A scores.json of texts that are not a run's."""
    folder = out / name.replace(" ", "-")
    folder.mkdir(parents=True, exist_ok=True)
    scores = {"format": FORMAT, "version": VERSION, "talewright": __version__, "name": name}
    own = {"run": {"folder": folder.name, "checkpoint": None}, "held_out": facts, "tasks": tasks}
    write_json(scores_path(folder), scores | own)


def shuffled(text: str, rng: random.Random) -> str:
    words = text.split()
    return " ".join(rng.sample(words, len(words)))


def five_gram_stories(train: list[str], count: int) -> list[str]:
    """Stories drawn token by token from a 5-gram model of the training stories, over a BPE of 8,000 tokens."""
    tokenizer = train_bpe(train, 8000)
    stories = [np.array(ids, dtype=np.int64) for ids in tokenizer.encode_batch(train)]
    model = KneserNey(count_ngrams(stories, tokenizer.eos_id, tokenizer.vocab_size, 5), 5, tokenizer.eos_id)
    rng, generated = np.random.default_rng(0), []
    for _ in range(count):
        ids: list[int] = []
        while len(ids) < 400:
            cumulative = model.distribution(ids).cumsum()
            token = int(np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right"))
            if token == tokenizer.eos_id:
                break
            ids.append(token)
        generated.append(tokenizer.decode(ids))
    return generated


if __name__ == "__main__":
    main()
