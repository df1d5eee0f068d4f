"""Copying looked for in a text of any size: seconds, memory, and whether what was planted is found.

    python benchmarks/copying.py TRAIN VALID [--megabytes 1000]

TRAIN and VALID are texts with <|endoftext|> between stories. TRAIN is written to a temporary file again and again, each
time with a number in each story, until it has so many megabytes; without --megabytes it is read as it is. Looked for
are 200 stories of VALID, the last of them with 40 words of TRAIN's last story at their end; as `talewright evaluate`
does it, doubled and leaked stories counted too. Prints JSON: bytes, seconds, those of them that reading and cleaning
took, MiB that this process had at most before and after, and the figures; on the way, for each 100 MB, the seconds of
processor time and the MiB at most so far.
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
from talewright.evaluate.generation.ngrams import words_of
from talewright.evaluate.memorization import Splits, figures
from talewright.evaluate.text_overlap import Copies

SEPARATOR = "<|endoftext|>"
STEP = 100 * 10**6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", type=Path)
    parser.add_argument("valid", type=Path)
    parser.add_argument("--megabytes", type=int)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        train = asked.train
        if asked.megabytes is not None:
            train = repeated(asked.train, Path(folder) / "train.txt", asked.megabytes * 10**6)
        print(json.dumps(measured(train, asked.valid), indent=1))


def repeated(source: Path, target: Path, size: int) -> Path:
    """The stories of a file, a number in each of them that grows from time to time, until the file has that size."""
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
    """The figures, and what they took."""
    held_out = list(read_stories(DataConfig(source=str(valid))))
    last = words_of(end_of(train).split(SEPARATOR)[-2])
    told = [*held_out[:199], f"{held_out[199]} {' '.join(last[-40:])}"]
    before, begun, begun_cpu, reading, passed = peak(), time.perf_counter(), time.process_time(), 0.0, 0

    def texts() -> Iterator[list[str]]:
        nonlocal reading, passed
        since = time.perf_counter()
        for story in read_stories(DataConfig(source=str(train))):
            reading += time.perf_counter() - since
            passed += len(story.encode())
            if passed // STEP > (passed - len(story.encode())) // STEP:
                print(f"{passed / 1e6:,.0f} MB, {time.process_time() - begun_cpu:.1f} s, {peak()} MiB", flush=True)
            yield words_of(story)
            since = time.perf_counter()

    copies, splits = Copies(told), Splits(held_out)
    copies.read(splits.passing(texts()))
    found = figures(copies, range(len(told)))
    seconds = time.perf_counter() - begun
    names = ("longest", "longest_mean", "copied_10grams", "nearest_rouge2")
    return {
        "bytes": train.stat().st_size,
        "seconds": round(seconds, 1),
        "processor_seconds": round(time.process_time() - begun_cpu, 1),
        "reading": round(reading, 1),
        "mib_before": before,
        "mib_at_most": peak(),
        **{name: found[name] for name in names},
        "source_of_longest": found["examples"][0]["training_story"],
        "splits": splits.figures(),
    }


def end_of(path: Path) -> str:
    """The last 20,000 bytes of a text."""
    with path.open("rb") as file:
        file.seek(-20_000, 2)
        return file.read().decode(errors="ignore")


def peak() -> int:
    """MiB that this process had at most until now."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


if __name__ == "__main__":
    main()
