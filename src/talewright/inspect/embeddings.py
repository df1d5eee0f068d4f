"""The token embedding: nearest neighbors, and a map of the most frequent words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from talewright.tokenizer import Tokenizer


def frequent_words(sequences: Sequence[np.ndarray], tokenizer: Tokenizer, number: int) -> list[int]:
    """Ids of the most frequent tokens that are a whole word (a space and letters), most frequent first."""
    if not len(sequences):
        return []
    ids, counts = np.unique(np.concatenate(list(sequences)), return_counts=True)
    ordered = ids[np.argsort(-counts, kind="stable")]
    return [int(token) for token in ordered if token_word(tokenizer, int(token))][:number]


def token_word(tokenizer: Tokenizer, token: int) -> str:
    """The word of a token: the letters after its leading space; empty if it is no whole word."""
    text = tokenizer.token_bytes[token].decode("utf-8", "replace")
    return text[1:] if text[:1] == " " and text[1:].isalpha() else ""


def map_embeddings(embedding: np.ndarray, tokens: Sequence[int]) -> tuple[np.ndarray, float]:
    """Project these tokens' rows of the embedding (V, D), normalized to unit length, on their first two principal
    components: points (N, 2), and the share of the variance that they hold.
    """
    rows = _normalized(embedding[list(tokens)].astype(np.float64))
    left, values, _ = np.linalg.svd(rows - rows.mean(0), full_matrices=False)
    plane = left[:, :2] * values[:2]
    points = np.zeros((len(rows), 2))
    points[:, : plane.shape[1]] = plane
    variances = values**2
    return points, float(variances[:2].sum() / variances.sum()) if variances.any() else 1.0


def nearest_neighbors(
    embedding: np.ndarray, queries: Sequence[int], candidates: Sequence[int], number: int
) -> list[list[tuple[int, float]]]:
    """For each query token, the candidates with the highest cosine similarity of embeddings, and these cosines."""
    rows = _normalized(embedding.astype(np.float64))
    cosines = rows[list(queries)] @ rows[list(candidates)].T  # (queries, candidates)
    cosines[np.array(queries)[:, None] == np.array(candidates)[None]] = -np.inf
    nearest = np.argsort(-cosines, axis=1, kind="stable")[:, : min(number, len(candidates) - 1)]
    return [[(int(candidates[j]), float(cosines[i, j])) for j in row] for i, row in enumerate(nearest)]


def _normalized(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-12)
