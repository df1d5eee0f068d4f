"""How much the measured peak of matrix products varies: N times `talewright doctor`, with pauses.

    python benchmarks/peak.py --rounds 20 --pause 180

Each round asks twice, in processes of their own: with a fresh cache, which is one measurement, and with a cache that is
kept from round to round, which is what a person sees. The spread is (highest - lowest) / highest, and for the kept
cache also that of the second half of the rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

from alternate import table


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=10)
    options.add_argument("--pause", type=float, default=60.0, help="seconds between two rounds")
    options.add_argument("--json", action="store_true")
    chosen = options.parse_args()
    rates: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as kept:
        for number in range(chosen.rounds):
            time.sleep(chosen.pause if number else 0)
            with tempfile.TemporaryDirectory() as fresh:
                for name, cache in (("fresh cache", fresh), ("kept cache", kept)):
                    for precision, rate in peaks(cache).items():
                        rates.setdefault(f"{precision}, {name}", []).append(rate / 1e9)
    table({name: row(values) for name, values in rates.items()}, chosen.json)


def peaks(cache: str) -> dict[str, float]:
    """FLOP/s by precision, as `doctor` shows them with that cache folder."""
    command = [sys.executable, "-m", "talewright", "doctor", "--json"]
    environment = {**os.environ, "TALEWRIGHT_CACHE": cache}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)["peaks"]


def row(values: list[float]) -> dict[str, float | str]:
    return {
        "lowest GFLOP/s": min(values),
        "highest": max(values),
        "spread, %": spread(values),
        "of the second half, %": spread(values[len(values) // 2 :]),
    }


def spread(values: list[float]) -> float:
    return 100 * (max(values) - min(values)) / max(values)


if __name__ == "__main__":
    main()
