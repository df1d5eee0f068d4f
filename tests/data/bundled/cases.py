"""A plot to test templates in."""

from __future__ import annotations

import random

from talewright.data.bundled.grammar import Plot, parse
from talewright.data.bundled.reading import StoryReader

CAST = """plot: test
role hero: girl / she / Ann
role friend: girl / she / Ann
    boy / he / Bob
role parent: dad / he / {hero.his} dad / Dad
"""


def read(text: str) -> Plot:
    reader = StoryReader()
    reader.read("test.txt", text)
    return reader.plots[-1]


def write(text: str, seed: int = 0, tables: str = "") -> str:
    plot = read(f"phrase glad: [glad|glad]\n{CAST}{tables}text: {text}")
    return plot.write(random.Random(seed).random, {"glad": parse("[glad|glad]")}).text
