"""The token embedding: which words the model takes to be alike, and a map of the most frequent ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from talewright.tokenizer import Tokenizer


@dataclass(frozen=True, kw_only=True)
class WordMap:
    """Words on a plane: the two directions in which their embeddings differ most."""

    words: list[str]
    points: np.ndarray
    """(n_words, 2)"""
    shown: float
    """Share of the words' spread that these two directions hold."""


def frequent_words(passages: Sequence[np.ndarray], tokenizer: Tokenizer, number: int) -> list[int]:
    """Ids of the most frequent tokens that are a whole word (a space and letters), most frequent first."""
    if not len(passages):
        return []
    ids, counts = np.unique(np.concatenate(list(passages)), return_counts=True)
    ordered = ids[np.argsort(-counts, kind="stable")]
    return [int(token) for token in ordered if word_of(tokenizer, int(token)) is not None][:number]


def word_of(tokenizer: Tokenizer, token: int) -> str | None:
    """The word that a token stands for: what follows a space and is all letters; else None."""
    spelled = tokenizer.token_bytes[token].decode("utf-8", "replace")
    return spelled[1:] if spelled[:1] == " " and spelled[1:].isalpha() else None


def map_words(embedding: np.ndarray, tokens: Sequence[int], tokenizer: Tokenizer) -> WordMap:
    """The principal plane of these tokens' rows of the embedding (V, D), each brought to length 1."""
    rows = _unit(embedding[list(tokens)].astype(np.float64))
    rows = rows - rows.mean(0)
    left, values, _ = np.linalg.svd(rows, full_matrices=False)
    plane = left[:, :2] * values[:2]
    points = np.zeros((len(rows), 2))
    points[:, : plane.shape[1]] = plane
    total = float((values**2).sum())
    return WordMap(
        words=[word_of(tokenizer, token) or "" for token in tokens],
        points=points,
        shown=float((values[:2] ** 2).sum() / total) if total > 0 else 1.0,
    )


def neighbours(
    embedding: np.ndarray, of: Sequence[int], among: Sequence[int], number: int
) -> list[list[tuple[int, float]]]:
    """For each token of `of`, the tokens of `among` whose embeddings point most the same way, and the cosines."""
    rows = _unit(embedding.astype(np.float64))
    cosines = rows[list(of)] @ rows[list(among)].T  # (of, among)
    cosines[np.array(of)[:, None] == np.array(among)[None]] = -np.inf
    nearest = np.argsort(-cosines, axis=1, kind="stable")[:, : min(number, len(among) - 1)]
    return [[(int(among[j]), float(cosines[i, j])) for j in row] for i, row in enumerate(nearest)]


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-12)
