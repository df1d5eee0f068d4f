"""What the report opens with: the story, and a verdict that says what the numbers say."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talewright.evaluate.baselines.kneser_ney import KneserNey, count_ngrams
from talewright.generate.engine import Engine
from talewright.generate.sampling import Sampling
from talewright.inspect import opening
from talewright.inspect.opening import NgramComparison, compare_with_ngrams, last_sample, verdict, write_story
from talewright.inspect.predictions import prediction_stats
from talewright.inspect.report.facts import compared
from talewright.inspect.sequences import make_sequence
from talewright.run.history import EVALUATION, STEP, History
from tests.inspect.cases import TEXT, small_config, small_tokenizer
from tests.model.shapes import lively_model


class Stories:
    """Training stories, as a split has them."""

    def __init__(self, stories: list[np.ndarray]) -> None:
        self.all, self.n_stories = stories, len(stories)
        self.n_tokens = sum(len(story) + 1 for story in stories)

    def stories(self, indices: Sequence[int]) -> tuple[list[np.ndarray], None]:
        return [self.all[index] for index in indices], None


@settings(max_examples=8)
@given(cut=st.integers(8, 60), seed=st.integers(0, 99))
def test_both_models_are_scored_on_the_same_tokens_and_bytes(cut: int, seed: int) -> None:
    """Against a product of the n-gram model's distributions, token by token; long stories are cut."""
    tokenizer = small_tokenizer()
    model = lively_model(small_config(context_length=cut), seed)
    stories = [np.array(tokenizer.encode(text)) for text in TEXT]
    train = Stories([story[seed % 5 :] for story in stories[1:]])
    sequences = [make_sequence(story, tokenizer.separator, cut) for story in stories[:2]]
    stats = prediction_stats(model, sequences)
    found = compare_with_ngrams(stats, sequences, train, tokenizer)  # pyright: ignore[reportArgumentType]
    assert found is not None
    counted = count_ngrams(train.all, tokenizer.eos_id, tokenizer.vocab_size, 5)
    ngrams = KneserNey(counted, 5, tokenizer.eos_id)
    nats, size = 0.0, 0
    for sequence in sequences:
        for at in range(1, len(sequence)):
            nats -= math.log(ngrams.distribution(sequence[1:at].tolist())[sequence[at]])
        text = [token for token in sequence[1:] if token != tokenizer.eos_id]
        size += len(tokenizer.decode(text).encode())
    assert found.ngram == pytest.approx(nats / math.log(2) / size, rel=1e-4)
    assert found.model == pytest.approx(stats.losses.sum() / math.log(2) / size)
    assert found.tokens == sum(len(sequence) - 1 for sequence in sequences)
    assert (found.counted, found.whole) == (train.n_tokens, True)


def test_an_n_gram_model_of_a_part_of_the_stories_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = small_tokenizer()
    stories = [np.array(tokenizer.encode(text)) for text in TEXT]
    sequences = [make_sequence(stories[0], tokenizer.separator, 64)]
    stats = prediction_stats(lively_model(small_config(), 0), sequences)
    monkeypatch.setattr(opening, "COUNTED", len(stories[0]))
    found = compare_with_ngrams(stats, sequences, Stories(stories), tokenizer)  # pyright: ignore[reportArgumentType]
    assert found is not None
    assert (found.counted, found.whole) == (len(stories[0]) + 1, False)


def ngrams(model: float, ngram: float, whole: bool = True) -> NgramComparison:
    return NgramComparison(model=model, ngram=ngram, counted=4_000_000, whole=whole, tokens=20_000)


def history(training: float, losses: dict[int, float], steps: int = 60) -> History:
    rows = [{"step": step, "loss": training} for step in range(1, steps + 1)]
    evaluations = [{"step": step, "loss": loss} for step, loss in losses.items()]
    return History(
        name="a",
        training={name: [row.get(name) for row in rows] for name in STEP},
        evaluations={name: [row.get(name) for row in evaluations] for name in EVALUATION},
    )


@pytest.mark.parametrize(
    ("training", "losses", "step", "beside", "expected"),
    [
        (3.0, {}, None, None, ""),
        (3.0, {0: 8.0}, None, None, ""),
        (
            3.0,
            {0: 8.0, 60: 3.1},
            60,
            ngrams(0.70, 0.85),
            "Beats a 5-gram of its training stories by 0.15 bits per byte (0.70 against 0.85); "
            "not overfitted (training loss 3.00, validation loss 3.10).",
        ),
        (
            3.0,
            {0: 8.0, 30: 3.1},
            30,
            ngrams(0.9, 0.8, whole=False),
            "Is worse than a 5-gram of 4.0M of its training tokens by 0.10 bits per byte (0.90 against 0.80); "
            "not overfitted so far (training loss 3.00, validation loss 3.10).",
        ),
        (0.3, {0: 8.0, 60: 3.4}, 60, None, "Overfitted (training loss 0.30, validation loss 3.40)."),
        (
            0.3,
            {0: 8.0, 20: 3.4, 60: 5.3},
            60,
            None,
            "Overfitted: validation loss rose from 3.40 at step 20 to 5.30 at step 60.",
        ),
        (
            0.3,
            {0: 8.0, 20: 3.4, 60: 5.3},
            20,
            ngrams(0.8, 0.801),
            "As good as a 5-gram of its training stories in bits per byte (0.80 against 0.80); "
            "the run overfitted after this checkpoint: validation loss rose from 3.40 at step 20 to 5.30 at step 60.",
        ),
    ],
)
def test_the_verdict_says_what_the_numbers_say(training, losses, step, beside, expected) -> None:
    assert verdict(history(training, losses), step, beside) == expected


def test_the_story_is_that_of_the_command_generate() -> None:
    tokenizer, model = small_tokenizer(), lively_model(small_config(), 3)
    story = write_story(model, tokenizer)
    assert story is not None
    assert story.sampling == Sampling()
    assert story.continuation == Engine(model, tokenizer).generate([""])[0].text.strip()


def test_a_model_that_cannot_generate_writes_no_story() -> None:
    assert write_story(lively_model(small_config(vocab_size=50), 0), small_tokenizer()) is None


def test_the_newest_whole_sample_replaces_a_story() -> None:
    samples = [
        {"step": 1, "prompt": "A", "text": "A cat."},
        {"step": 2, "prompt": "A", "text": "A dog."},
        {"step": 3, "prompt": "A"},  # damaged
    ]
    found = last_sample(History(name="a", training={}, evaluations={}, samples=samples))
    assert found is not None
    assert (found.prompt, found.continuation, found.step, found.sampling) == ("A", " dog.", 2, None)
    assert last_sample(History(name="a", training={}, evaluations={})) is None


class Named:
    """A model with these facts."""

    def __init__(self, losses: dict[str, float], tokenizer: str) -> None:
        self.model, self.step = None, 60
        self.history = history(3.0, {})
        for name in EVALUATION:
            self.history.evaluations[name].append(60 if name == "step" else losses.get(name))
        self.tokenizer = type("", (), {"fingerprint": tokenizer})


def test_two_models_are_one_row_with_differences_and_the_better_one() -> None:
    first = Named({"loss": 2.0, "perplexity": 7.389, "bits_per_byte": 0.75}, "a")
    second = Named({"loss": 1.5, "perplexity": 4.482, "bits_per_byte": 0.8}, "a")
    rows = {row.label: row for row in compared(first, second)}  # pyright: ignore[reportArgumentType]
    assert (rows["validation loss"].change, rows["validation loss"].better) == ("−0.500", 2)
    assert (rows["bits per byte"].change, rows["bits per byte"].better) == ("+0.050", 1)
    assert (rows["step"].first, rows["step"].change, rows["step"].better) == ("60", "", None)


def test_losses_of_different_tokens_are_not_compared() -> None:
    first, second = (Named({"loss": 2.0, "bits_per_byte": 0.75}, name) for name in "ab")
    labels = [row.label for row in compared(first, second)]  # pyright: ignore[reportArgumentType]
    assert labels == ["step", "bits per byte"]
