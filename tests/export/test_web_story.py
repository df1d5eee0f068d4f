"""The story on the page: word by word, and as a link that holds its prompt and seed."""

from __future__ import annotations

import math
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import pytest
import torch

from talewright.generate.samplers import choose, uniforms
from talewright.generate.sampling import Sampling
from tests.export.browser import WebPage

pytestmark = pytest.mark.slow
PROMPT = "Tom & Mia said: 100% #1\n"


def test_word_by_word_tells_the_probability_that_the_model_gave_each_token(page, site, engine):
    """Before the settings change it: temperature and top-k are extreme here."""
    model, tokenizer = site[1].model, site[1].tokenizer
    page.set(seed=2, new_tokens=20, temperature=1.5, top_k=3)
    story = page.generate("Lily")
    page.tab.click("#by-word")
    assert page.text("story") == story
    words = page.tab.locator("#generated > span")
    context = [tokenizer.begin_id, *tokenizer.encode("Lily")]
    sampling = Sampling(seed=2, temperature=1.5, top_k=3)
    assert engine.generate(["Lily"], replace(sampling, max_new_tokens=20))[0].text == story
    for i in range(min(5, words.count())):
        with torch.no_grad():
            logits = model(torch.tensor([context]))[:, -1, : tokenizer.vocab_size]  # (1, V)
        uniform = torch.tensor([float(uniforms(2, [0], 0)[0, i])])
        [token] = choose(logits.clone(), sampling, torch.zeros_like(logits, dtype=torch.bool), uniform).tolist()
        context.append(token)
        if words.nth(i).get_attribute("role") is None:
            assert words.nth(i).text_content() == ""  # part of a character
            continue
        words.nth(i).dispatch_event("click")
        probability = float(logits.softmax(-1)[0, token])
        shown = page.text("word").replace("\xa0", " ")
        assert f": probability {100 * probability:.0f} %" in shown or probability < 0.01
        assert f"surprise {-math.log(probability):.1f} nats" in shown
    page.tab.click("#by-word")
    assert page.text("story") == story
    assert page.tab.locator("#generated [role=button]").count() == 0


def test_tokens_that_come_while_it_is_word_by_word_are_shaded_too(page):
    page.set(new_tokens=20, seed=1)
    page.generate("Tom")
    page.tab.click("#by-word")
    page.tab.click("#continue")
    page.story()
    assert page.tab.locator("#generated > span").count() > 20
    page.tab.focus("#generated [role=button]")
    page.tab.keyboard.press("ArrowRight")
    page.tab.keyboard.press("Enter")
    assert page.tab.locator("#generated [role=button]").nth(1).get_attribute("aria-pressed") == "true"
    assert "nats" in page.text("word")


def test_a_link_gives_the_same_story_in_another_browser(page, browser):
    page.set(seed="", new_tokens=24, temperature=1.2, top_k=40)
    story = page.generate(PROMPT)
    page.set(temperature=0.3)  # the link keeps the settings that the story was generated with
    page.tab.click("#share")
    page.tab.wait_for_selector("#status:text-matches('^Copied a link')")
    address = page.tab.evaluate("navigator.clipboard.readText()")
    held = parse_qs(urlsplit(address).fragment)
    assert (held["prompt"], held["temperature"], held["kind"]) == ([PROMPT.strip()], ["1.2"], ["f32"])
    other = WebPage(browser.new_page(), address).ready()
    assert other.text("status").startswith("This link holds a prompt and a seed")
    other.tab.click("#generate")
    assert other.story() == story
    assert other.errors == []
    other.tab.close()


def test_a_link_cannot_set_what_no_setting_allows(browser, address):
    html = "<img src=x onerror='window.hacked=1'>"
    page = WebPage(
        browser.new_page(), f"{address}#prompt={html}&seed=abc&temperature=99&kind=../evil&top-k=-5&form=x"
    ).ready()
    assert page.tab.input_value("#prompt") == html
    assert page.tab.input_value("#seed") == ""
    assert page.tab.input_value("#temperature") == "1.5"
    assert page.tab.input_value("#top-k") == "0"
    assert page.tab.input_value("#kind") == "q8"
    assert page.tab.evaluate("window.hacked") is None
    page.tab.close()


@pytest.mark.parametrize("width", [320, 390])
def test_on_a_phone_the_story_is_on_the_first_screen(browser, address, width):
    page = WebPage(browser.new_page(viewport={"width": width, "height": 700}), address).ready()
    page.set(new_tokens=20)
    page.generate("Once upon a time")
    page.tab.evaluate("scrollTo(0, 0)")
    box = page.tab.locator("#story").bounding_box()
    assert box["y"] < 300
    page.tab.close()
