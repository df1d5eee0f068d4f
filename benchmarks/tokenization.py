"""Text to token shards compared with the tokenizer library's `encode_batch` alone, in turn, each on the whole text.

python benchmarks/tokenization.py ../shared/tinystories/train.txt --gpt2 ../shared/gpt2
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from itertools import count
from pathlib import Path

from alternate import MIB, Rival, alternate, table

from talewright.config import DataConfig, TokenizerConfig

TRAINED = 8000


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("text", type=Path)
    options.add_argument("--gpt2", default=None, help="folder of GPT-2's tokenizer files")
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--json", action="store_true")
    args = options.parse_args()
    stories = [story.strip() for story in args.text.read_text(encoding="utf-8").split("<|endoftext|>")]
    tokenizers = {"BPE 8k": (TokenizerConfig(kind="bpe"), TRAINED)}
    if args.gpt2:
        tokenizers["GPT-2's BPE"] = (TokenizerConfig(kind="gpt2", source=args.gpt2), 50257)
    rivals: dict[str, Rival] = {}
    for name, (tokenizer, size) in tokenizers.items():
        rivals[f"text to shards, {name}"] = Rival(shards, (args.text, tokenizer, size))
        rivals[f"encode_batch alone, {name}"] = Rival(alone, (args.text, stories, tokenizer, size))
    measured = alternate(rivals, args.rounds, warm_up=1, calls=1)
    size = args.text.stat().st_size / 1e6
    rows: dict[str, dict[str, float | str]] = {}
    for name, (seconds, peak) in measured.items():
        first = measured[name.replace("encode_batch alone", "text to shards")].seconds
        rows[name] = {
            "seconds": seconds,
            "MB/s": size / seconds,
            "peak MiB": peak / MIB,
            "speedup of shards": seconds / first,
        }
    table(rows, args.json)


def shards(text: Path, config: TokenizerConfig, size: int) -> Callable[[], object]:
    """Reading, cleaning, splitting, making the tokenizer, tokenizing and writing."""
    from talewright.data import prepare

    folder, numbers = Path(tempfile.mkdtemp()), count()
    return lambda: prepare(DataConfig(source=str(text)), config, size, folder / str(next(numbers)))


def alone(text: Path, stories: list[str], config: TokenizerConfig, size: int) -> Callable[[], object]:
    from tokenizers import Tokenizer

    from talewright.data import prepare

    folder = Path(tempfile.mkdtemp())
    made = prepare(DataConfig(source=str(text)), config, size, folder / "first").tokenizer
    made.save(folder / "tokenizer")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer" / "tokenizer.json"))
    return lambda: tokenizer.encode_batch(stories)


if __name__ == "__main__":
    main()
