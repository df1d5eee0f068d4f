"""The search for copied text in a corpus of any size: seconds, memory, and whether a planted copy is found.

    python benchmarks/memorization.py TRAIN VALID [--megabytes 1000]

TRAIN and VALID are texts with <|endoftext|> between stories. With --megabytes, TRAIN is written to a temporary file
over and over, with a number in each story, until it has that size. The search is for 200 stories of VALID, the last of
them with 40 words of TRAIN's last story at its end. It runs as in `talewright evaluate`, and counts duplicate and
leaked stories too. Prints JSON: bytes, seconds, how many of them went into reading and cleaning, peak MiB of this
process before and after, and the figures; meanwhile, for each 100 MB, the processor seconds and peak MiB so far.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from talewright.config import DataConfig
from talewright.data import read_stories
from talewright.evaluate.memorization import overlap_figures
from talewright.evaluate.ngrams import words_of
from talewright.evaluate.split_overlap import SplitOverlap
from talewright.evaluate.text_overlap import OverlapSearch

SEPARATOR = "<|endoftext|>"
STEP = 100 * 10**6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", type=Path)
    parser.add_argument("valid", type=Path)
    parser.add_argument("--megabytes", type=int)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        train = options.train
        if options.megabytes is not None:
            train = repeated(options.train, Path(folder) / "train.txt", options.megabytes * 10**6)
        print(json.dumps(measured(train, options.valid), indent=1))


def repeated(source: Path, target: Path, size: int) -> Path:
    """Write the stories of a file over and over, with the number of the round in each, until the file has that size."""
    stories, written, number = source.read_text(encoding="utf-8").split(SEPARATOR), 0, 0
    with target.open("w", encoding="utf-8") as file:
        while written < size:
            for story in stories:
                first, _, rest = story.strip().partition(". ")
                written += len(f"{first}. It was day {number}. {rest}\n{SEPARATOR}\n".encode())
                file.write(f"{first}. It was day {number}. {rest}\n{SEPARATOR}\n")
                if written >= size:
                    break
            number += 1
    return target


def measured(train: Path, valid: Path) -> dict:
    """The figures and their cost."""
    held_out = list(read_stories(DataConfig(source=str(valid))))
    last = words_of(end_of(train).split(SEPARATOR)[-2])
    texts = [*held_out[:199], f"{held_out[199]} {' '.join(last[-40:])}"]
    before, start, start_cpu, reading, size = peak(), time.perf_counter(), time.process_time(), 0.0, 0

    def training_words() -> Iterator[list[str]]:
        nonlocal reading, size
        since = time.perf_counter()
        for story in read_stories(DataConfig(source=str(train))):
            reading += time.perf_counter() - since
            size += len(story.encode())
            if size // STEP > (size - len(story.encode())) // STEP:
                print(f"{size / 1e6:,.0f} MB, {time.process_time() - start_cpu:.1f} s, {peak()} MiB", flush=True)
            yield words_of(story)
            since = time.perf_counter()

    search, splits = OverlapSearch(texts), SplitOverlap(held_out)
    search.read(splits.observe(training_words()))
    figures = overlap_figures(search, range(len(texts)))
    seconds = time.perf_counter() - start
    names = ("longest", "longest_mean", "copied_10grams", "nearest_rouge2")
    return {
        "bytes": train.stat().st_size,
        "seconds": round(seconds, 1),
        "processor_seconds": round(time.process_time() - start_cpu, 1),
        "reading": round(reading, 1),
        "mib_before": before,
        "mib_peak": peak(),
        **{name: figures[name] for name in names},
        "source_of_longest": figures["examples"][0]["training_story"],
        "splits": splits.figures(),
    }


def end_of(path: Path) -> str:
    """The last 20,000 bytes of a text."""
    with path.open("rb") as file:
        file.seek(-20_000, 2)
        return file.read().decode(errors="ignore")


def peak() -> int:
    """Peak MiB of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


if __name__ == "__main__":
    main()
