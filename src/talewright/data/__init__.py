"""Stories: sources, cleaning, splits, token shards and batches."""

from talewright.data.batches import Batches
from talewright.data.corpus import Corpus, Split
from talewright.data.preparation import open_corpus, prepare
from talewright.data.stories import read_stories, tokenize_source

__all__ = ["Batches", "Corpus", "Split", "open_corpus", "prepare", "read_stories", "tokenize_source"]
