"""The page's look inside, in a headless browser: what it shows is what the model computes, step by step."""

from __future__ import annotations

import re
import shutil
from typing import Any

import pytest
import torch

from talewright.generate.sampling import Sampling
from talewright.inspect import record
from tests.export.browser import WebPage, served

pytestmark = pytest.mark.slow
PROMPT = "Once upon a time"


class InsideView:
    """The view, with its steps."""

    def __init__(self, page: WebPage) -> None:
        self.page, self.tab = page, page.tab

    def open(self) -> InsideView:
        return self.after(lambda: self.tab.click("#tab-inside"))

    def after(self, action: Any) -> InsideView:
        """Do something that changes the token, and wait until it is shown."""
        self.tab.evaluate("document.getElementById('inside-status').textContent = ''")
        action()
        self.tab.wait_for_selector("#inside-status:text-matches('^Token ')")
        return self

    def next(self) -> InsideView:
        return self.after(lambda: self.tab.click("#inside-next"))

    def tokens(self) -> int:
        """Number of tokens that the model has read."""
        return self.tab.locator("#tokens button:not(.unread)").count()

    def rows(self, selector: str) -> list[str]:
        return [text.replace("\xa0", " ") for text in self.tab.locator(selector).all_text_contents()]


@pytest.fixture
def view(page: WebPage) -> InsideView:
    page.tab.fill("#prompt", PROMPT)
    return InsideView(page).open()


def test_it_shows_what_the_model_computes(view, site):
    """Of every head its strongest token, the norms of the stream, the lens, and the probabilities of the next token."""
    model, tokenizer = site[1].model, site[1].tokenizer
    ids = [tokenizer.begin_id, *tokenizer.encode(PROMPT)]
    assert view.tokens() == len(ids)
    seen = {name: value[0] for name, value in record(model, torch.tensor([ids]), ["*"]).items()}
    buttons = view.tab.locator("#heads button")
    labels = [buttons.nth(i).get_attribute("aria-label").replace("\xa0", " ") for i in range(buttons.count())]
    texts = ["⟨start⟩", *(tokenizer.decode([i]) for i in ids[1:])]
    expected = []
    for layer in range(2):
        for head in range(4):
            weight, key = seen[f"blocks.{layer}.attn.pattern"][head, -1].max(-1)
            expected.append(f"Head {layer}.{head}: mostly “{texts[key]}”, {100 * weight:.0f} %")
    assert labels == expected
    names = ["resid_pre", *(f"{name}" for _ in range(2) for name in ("attn_out", "mlp_out", "resid_post"))]
    layers = [0, 0, 0, 0, 1, 1, 1]
    norms = [float(seen[f"blocks.{i}.{name}"][-1].norm()) for i, name in zip(layers, names, strict=True)]
    assert [float(text) for text in view.rows("#stream td:last-child")[1:]] == pytest.approx(norms, abs=0.051)
    for row, name in enumerate(["blocks.0.resid_pre", "blocks.0.resid_post", "blocks.1.resid_post"]):
        with torch.no_grad():
            probabilities = model.logits(model.norm(seen[name][-1]))[: tokenizer.vocab_size].softmax(-1)
        best = probabilities.argmax()
        cell = view.rows(f"#lens tbody tr:nth-child({row + 1}) td:nth-child(2)")[0]
        assert cell.split() == [*tokenizer.decode([int(best)]).split(), *f"{100 * probabilities[best]:.0f} %".split()]
    own = seen["logits"][-1][: tokenizer.vocab_size].softmax(-1)
    numbers = view.rows("#candidates button > span:nth-of-type(3)")[:10]
    assert numbers == [f"{100 * p:.0f} %" if p >= 0.01 else "<1 %" for p in own.topk(10).values]


def test_without_a_prompt_it_begins_with_the_first_example(page, site):
    view, example = InsideView(page).open(), page.tab.locator("#prompts button").first.inner_text()
    assert view.tab.input_value("#inside-text") == example
    assert view.tokens() == 1 + len(site[1].tokenizer.encode(example)) > 1
    assert view.tab.input_value("#prompt") == ""


def test_steps_sample_the_story_that_the_engine_generates_with_the_seed(page, engine):
    page.set(seed=11, new_tokens=20)
    page.tab.fill("#prompt", PROMPT)
    view = InsideView(page).open()
    for _ in range(6):
        view.next()
    ours = engine.generate([PROMPT], Sampling(seed=11, max_new_tokens=6))[0]
    shown = "".join(view.tab.locator("#tokens button").all_text_contents()).replace("⟨start⟩", "").replace("␣", "")
    assert re.sub(r"[\s↵]", "", shown) == re.sub(r"\s", "", ours.text)


def test_it_walks_through_the_story_on_the_page_and_back(page):
    page.set(seed=11, new_tokens=20)
    page.generate(PROMPT)
    page.tab.click("#by-word")
    written = page.tab.locator("#generated > span").count()
    assert written >= 6
    view = InsideView(page).open()
    total = view.tab.locator("#tokens button").count()
    begun = view.tokens()
    assert total == begun + written
    view.next().next()
    assert view.tokens() == begun + 2
    view.after(lambda: view.tab.click("#inside-back"))
    view.after(lambda: view.tab.locator("#tokens button").nth(0).click())
    assert (view.tokens(), view.tab.is_disabled("#inside-back")) == (1, True)
    assert view.tab.locator("#tokens button").count() == total


def test_another_token_continues_in_place_of_the_text_that_follows(view):
    before = view.tokens()
    third = view.rows("#candidates .text")[2].strip()
    view.after(lambda: view.tab.locator("#candidates button").nth(2).click())
    assert view.tab.locator("#tokens button").count() == before + 1
    assert view.rows("#tokens button")[-1].strip() == (third or "␣")


def test_temperature_and_top_k_change_what_is_sampled_from_and_the_settings_of_the_page(view):
    everything = view.rows("#candidates button > span:nth-of-type(4)")
    view.tab.evaluate(
        """() => { const input = document.getElementById("inside-top-k"); input.value = 1;
          input.dispatchEvent(new Event("input")); }"""
    )
    assert view.rows("#candidates button > span:nth-of-type(4)") == ["100 %", *["–"] * 9] != everything
    assert "leave 1 of" in (view.tab.text_content("#next-text") or "")
    assert view.tab.input_value("#top-k") == "1"


def test_it_plays_until_it_is_paused_and_ends_at_the_context(view, site):
    before = view.tokens()
    view.tab.click("#inside-play")
    view.tab.wait_for_selector(f"#tokens button:nth-child({before + 2}):not(.unread)")
    view.tab.click("#inside-play")
    assert view.tab.text_content("#inside-play") == "Play"
    while view.tab.is_enabled("#inside-next"):
        view.next()
    status = view.tab.text_content("#inside-status")
    assert "This view ends at 40 tokens." in status or "The story ends here." in status
    assert view.tokens() <= site[1].recipe.model.context_length


def test_the_weights_are_downloaded_once_and_nothing_of_it_before_it_is_opened(page):
    graphs = lambda: [url.split("/")[-1].split("?")[0] for url in page.requests if ".onnx" in url]  # noqa: E731
    assert not any("inside" in name for name in graphs())
    before = graphs()
    page.tab.fill("#prompt", PROMPT)
    InsideView(page).open().next()
    assert graphs() == [*before, "f32.inside.onnx"]
    assert sum("inside.js" in url for url in page.requests) == 1


def test_it_works_with_the_keyboard_alone(view):
    keys, focused = view.tab.keyboard, "document.activeElement.getAttribute('aria-label') ?? document.activeElement.id"
    view.tab.focus("#tab-write")
    keys.press("ArrowRight")
    assert view.tab.evaluate("document.activeElement.id") == "tab-inside"
    view.tab.wait_for_selector("#inside-next:enabled")
    for id_ in ("inside-text", None, "inside-back", "inside-next"):
        keys.press("Tab")
        assert id_ is None or view.tab.evaluate("document.activeElement.id") == id_
    view.after(lambda: keys.press("Enter"))
    keys.press("Tab")
    keys.press("Tab")
    assert ", token " in view.tab.evaluate(focused)  # one stop for all tokens
    read = view.tokens()
    keys.press("ArrowLeft")
    view.after(lambda: keys.press("Enter"))
    assert view.tokens() == read - 1
    assert ", token " in view.tab.evaluate(focused)  # the focus stays on the token
    keys.press("Tab")
    assert view.tab.evaluate(focused).startswith("Head 0.0")
    keys.press("End")
    keys.press("Enter")
    assert (view.tab.text_content("#head-title") or "").startswith("Head 1.3")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_axe_finds_nothing_wrong_and_nothing_is_cut_off(browser, address, dark, width):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")
    scheme = "dark" if dark else "light"
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 800}, bypass_csp=True)
    page = WebPage(context.new_page(), address).ready()
    page.set(new_tokens=20)
    page.generate(PROMPT)
    page.tab.click("#by-word")
    page.tab.locator("#generated [role=button]").nth(3).click()
    for view in (None, InsideView(page)):
        if view:
            view.open().next()
        report = axe.Axe().run(page.tab)
        assert report.violations_count == 0, report.generate_report()
        assert page.tab.evaluate("document.documentElement.scrollWidth") <= width
    context.close()


def test_a_missing_graph_is_reported_and_the_page_still_generates(browser, site, tmp_path):
    shutil.copytree(site[0], tmp_path / "site")
    (tmp_path / "site" / "model" / "q8.inside.onnx").unlink()
    with served(tmp_path / "site") as address:
        page = WebPage(browser.new_page(), address).ready()
        page.tab.click("#tab-inside")
        page.tab.wait_for_selector("#inside-status:text-matches('is missing on the server')")
        page.tab.click("#tab-write")
        page.set(new_tokens=20)
        assert page.generate("Tom").startswith("Tom")
        page.tab.close()


def test_after_the_other_precision_is_chosen_it_shows_that_one(page, site):
    page.tab.fill("#prompt", PROMPT)
    InsideView(page).open()
    page.tab.click("#tab-write")
    page.tab.select_option("#kind", "q8")
    page.ready()
    InsideView(page).open()
    assert any("q8.inside.onnx" in url for url in page.requests)
