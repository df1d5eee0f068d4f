"""What lower weight precision costs: bits per byte of a run's validation stories, or those of --data, by precision.

python benchmarks/precision.py runs/mini-2m-1 --stories 500
"""

from __future__ import annotations

import argparse

from alternate import table

import talewright
from talewright.data import open_corpus
from talewright.data.corpus import evenly_spread
from talewright.evaluate.likelihood import score_stories
from talewright.generate.quantization import BYTES, at_precision


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("run")
    options.add_argument("--stories", type=int, default=500)
    options.add_argument("--json", action="store_true")
    chosen = options.parse_args()
    run = talewright.load(chosen.run)
    valid = open_corpus(run.recipe).split("valid")
    stories, sizes = valid.stories(evenly_spread(chosen.stories, valid.n_stories))
    rows: dict[str, dict[str, float | str]] = {}
    for precision in BYTES:
        model = run.model if precision == "fp32" else at_precision(run.model, precision)
        found = score_stories(model, stories, sizes, run.tokenizer.separator)
        rows[precision] = {"bits/byte": f"{found.bits_per_byte:.5f}", "perplexity": f"{found.perplexity:.3f}"}
    table(rows, chosen.json)


if __name__ == "__main__":
    main()
