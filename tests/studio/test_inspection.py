"""What the tab Inside shows of a story: the report's views, with the model's own figures."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

from talewright.inspect.predictions import predict_tokens
from talewright.server.scheduler import Generation
from talewright.studio.inspection_tab import inspect_story, views_of


def story_of(loaded, tokens: int) -> Generation:
    story = Generation(user="Ada", choice="tales", prompt="One day", label="tales, step 10", finished=True)
    story.prompt_tokens = loaded.tokenizer.encode("One day")
    story.tokens = (loaded.tokenizer.encode(" a dog <b>ran</b> & a cat slept.") * 20)[:tokens]
    return story


@pytest.mark.parametrize("tokens", [0, 6, 200])
def test_the_views_show_the_newest_tokens_with_the_models_losses_and_attention(registry, tokens):
    loaded = registry.load("tales")
    story, context = story_of(loaded, tokens), loaded.model.config.context_length
    inspection = inspect_story(loaded, registry.run("tales"), story)
    whole = [loaded.tokenizer.begin_id, *(story.prompt_tokens or []), *story.tokens, loaded.tokenizer.eos_id]
    expected = predict_tokens(loaded.model, np.array(whole[-(context + 1) :]))
    views = views_of(inspection)
    assert [row["loss"] for row in views["data"]["story"]] == pytest.approx(expected.losses.tolist(), abs=1e-3)
    assert len(views["data"]["pushes"]) == len(expected.losses)
    assert 'id="inside-pushes"' in views["html"]
    assert inspection.attention is not None
    assert len(inspection.attention.tokens) == len(expected.losses)
    torch.testing.assert_close(
        torch.from_numpy(inspection.attention.patterns).sum(-1), torch.ones(2, 2, len(expected.losses))
    )


def test_the_text_of_a_story_stays_text_and_no_id_is_that_of_another_part_of_the_page(registry):
    loaded = registry.load("tales")
    html = views_of(inspect_story(loaded, registry.run("tales"), story_of(loaded, 30)))["html"]
    assert "<b>" not in html
    ids = re.findall(r"\sid=\"([^\"]*)\"", html)
    assert len(ids) == len(set(ids)) >= 5
    assert all(each.startswith("inside-") for each in ids)
