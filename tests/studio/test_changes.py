"""A changed model: what it predicts and writes is what the same change gives when it is made in the weights."""

from __future__ import annotations

import copy
import threading
import time

import pytest
import torch

from talewright.errors import UserError
from talewright.generate.sampling import Sampling
from talewright.server.scheduler import Generation
from talewright.studio.changes import Change, begin_again, generate_changed, mean_losses, predicted


@pytest.fixture
def loaded(registry):
    return registry.load("tales")


def story_of(loaded, prompt="One day, a dog", new_tokens=20, **options) -> Generation:
    story = Generation(user="Ada", choice="tales", prompt=prompt)
    story.sampling = Sampling(max_new_tokens=new_tokens, seed=3, **options)
    story.prompt_tokens = loaded.tokenizer.encode(prompt)
    generate_changed(loaded, Change(), story)
    assert not story.error
    return story


def without_head(loaded, layer, head):
    """A copy of the model whose output layer of attention reads nothing of a head."""
    model = copy.deepcopy(loaded.model)
    attention = model.blocks[layer].attention
    with torch.no_grad():
        attention.out.weight[:, head * attention.head_dim : (head + 1) * attention.head_dim] = 0
    return model


def losses(model, loaded, story):
    tokens = torch.tensor([[loaded.tokenizer.begin_id, *story.prompt_tokens, *story.tokens]])
    with torch.no_grad():
        log_probs = model(tokens[:, :-1])[0].double().log_softmax(-1)
    return -log_probs[torch.arange(tokens.shape[1] - 1), tokens[0, 1:]]


def test_without_a_change_nothing_changes(loaded, make_scheduler):
    scheduler = make_scheduler()
    story = scheduler.submit(Generation(user="Ada", choice="tales", prompt="One day", sampling=Sampling(seed=5)))
    story.sampling = Sampling(seed=5, max_new_tokens=len(story.tokens) or 1)
    while story.running:
        story.polled = time.monotonic()
        time.sleep(0.01)
    again = begin_again(story)
    generate_changed(loaded, Change(), again)
    assert again.tokens == story.tokens
    assert again.continuation == story.continuation
    rows = predicted(loaded, story, Change())
    assert all(row["before"] == row["after"] for row in rows)


@pytest.mark.parametrize("head", [0, 1])
def test_a_head_that_is_off_is_one_that_nothing_is_read_of(loaded, head):
    story, change = story_of(loaded), Change(switched_off=(f"1.{head}",))
    rows = predicted(loaded, story, change)
    assert [row["before"]["loss"] for row in rows] == pytest.approx(
        losses(loaded.model, loaded, story).tolist(), abs=2e-3
    )
    expected = losses(without_head(loaded, 1, head), loaded, story).tolist()
    assert [row["after"]["loss"] for row in rows] == pytest.approx(expected, abs=2e-3)
    assert mean_losses(rows)[1] == pytest.approx(sum(expected) / len(expected), abs=2e-3)


def test_the_changed_story_is_what_the_changed_weights_write(loaded):
    story = story_of(loaded, temperature=0.0)
    again = begin_again(story)
    generate_changed(loaded, Change(switched_off=("0.0", "0.1", "MLP 1")), again)
    model = without_head(loaded, 0, 0)
    with torch.no_grad():
        model.blocks[0].attention.out.weight.zero_()
        model.blocks[1].mlp.down.weight.zero_()
        tokens = [loaded.tokenizer.begin_id, *(story.prompt_tokens or [])]
        for token in again.tokens:
            row = model(torch.tensor([tokens]))[0, -1, : loaded.tokenizer.vocab_size]
            assert row[token] == pytest.approx(float(row.max()), abs=1e-4)
            tokens.append(token)
    assert again.tokens != story.tokens


def test_steering_in_both_directions_changes_the_losses_and_the_sets_may_be_swapped(loaded):
    story, happy, sad = story_of(loaded), ("A happy day.",), ("It was sad and dark.",)
    there = predicted(loaded, story, Change(strength=2, layer=1, toward=happy, away=sad))
    back = predicted(loaded, story, Change(strength=-2, layer=1, toward=sad, away=happy))
    assert [row["after"] for row in there] == [row["after"] for row in back]
    assert [row["after"] for row in there] != [row["before"] for row in there]


def test_an_average_output_differs_from_zero(loaded):
    story = story_of(loaded)
    zero, average = (predicted(loaded, story, Change(switched_off=("MLP 0",), average=each)) for each in (False, True))
    assert [row["after"] for row in zero] != [row["after"] for row in average]


def test_a_change_that_cannot_be_made_is_an_error_of_the_story(loaded):
    again = begin_again(story_of(loaded))
    generate_changed(loaded, Change(switched_off=("9.9",)), again)
    assert "the model has no 9.9" in again.error
    assert not again.running
    with pytest.raises(UserError, match="two sets of texts"):
        predicted(loaded, story_of(loaded), Change(strength=1, toward=(), away=("Sad.",)))


def test_a_changed_story_can_be_stopped(loaded):
    again = begin_again(story_of(loaded))
    again.sampling = Sampling(max_new_tokens=100_000)
    thread = threading.Thread(target=generate_changed, args=(loaded, Change(switched_off=("0.0",)), again))
    thread.start()
    time.sleep(0.2)
    again.stop()
    thread.join(10)
    assert not thread.is_alive()
    assert not again.error
