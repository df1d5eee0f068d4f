"""The page in a headless browser: it generates the engine's stories, and explains each failure in a sentence."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from talewright.generate.sampling import Sampling
from tests.export.browser import WebPage, served

pytestmark = pytest.mark.slow
STOP_AT_THE_THIRD_PIECE = """() => {
  let pieces = 0;
  const count = () => { pieces += 1; if (pieces === 3) document.getElementById("stop").click(); };
  new MutationObserver(count).observe(document.getElementById("generated"), {childList: true});
}"""


@pytest.mark.parametrize("prompt", ["Once upon a time", "", "The little rabbit was very hungry 🐰\n\n  \tand don't"])
@pytest.mark.parametrize("tokens", [20, 100])  # within the context, and far beyond it
def test_greedy_stories_are_those_of_the_engine(page, engine, prompt, tokens):
    page.set(top_k=1, new_tokens=tokens)
    ours = engine.generate([prompt], Sampling(top_k=1, max_new_tokens=tokens))[0]
    assert page.generate(prompt) == ours.text
    assert page.text("status").startswith("The end." if ours.finished else f"Paused after {ours.new_tokens} tokens")


def test_a_seed_gives_the_story_that_it_gives_in_the_engine(page, engine):
    for seed, settings in enumerate(
        ({}, {"top_k": 5, "top_p": 0.6}, {"repetition_penalty": 1.5}, {"top_p": 1.0, "temperature": 1.4})
    ):
        sampling = Sampling(**{"max_new_tokens": 60, "seed": seed, **settings})
        inputs = {
            "temperature": sampling.temperature,
            "top_k": sampling.top_k or 0,
            "top_p": sampling.top_p,
            "penalty": sampling.repetition_penalty,
        }
        page.set(new_tokens=60, seed=seed, **inputs)
        assert (
            page.generate("One day, a small dog found a")
            == engine.generate(["One day, a small dog found a"], sampling)[0].text
        )
    assert len(set(page.tab.locator("#stories p").all_text_contents())) == 3


def test_a_continued_story_equals_an_uninterrupted_one_even_with_the_other_precision_in_between(page, engine):
    page.set(top_k=1, new_tokens=20)
    once = engine.generate(["Lily"], Sampling(top_k=1, max_new_tokens=80))[0]
    assert page.generate("Lily") == engine.generate(["Lily"], Sampling(top_k=1, max_new_tokens=20))[0].text
    for _ in range(2):
        page.tab.click("#continue")
        page.story()
    for kind in ("q8", "f32"):
        page.tab.select_option("#kind", kind)
        page.ready()
    page.tab.click("#continue")
    assert page.story() == once.text


def test_it_stops_and_generates_another_story_with_a_new_seed_that_can_be_used_again(page, engine):
    page.set(new_tokens=400, seed=5)
    page.tab.evaluate(STOP_AT_THE_THIRD_PIECE)
    part = page.generate("Tom")
    assert page.text("status").startswith("Stopped.")
    whole = engine.generate(["Tom"], Sampling(seed=5, max_new_tokens=400))[0].text
    assert whole.startswith(part)
    assert len("Tom") < len(part) < len(whole)
    page.set(new_tokens=30)
    page.tab.click("#regenerate")
    another = page.story()
    assert page.tab.input_value("#seed") == ""
    [seed] = map(int, re.findall(r"Seed (\d+)\.", page.text("status")))
    assert another == engine.generate(["Tom"], Sampling(seed=seed, max_new_tokens=30))[0].text != part
    assert page.tab.locator("#stories p").all_text_contents() == [part]


def test_the_page_starts_with_the_settings_of_the_engine_and_ignores_whitespace_after_a_prompt(page, engine):
    page.set(seed=7)
    ours = engine.generate(["Tom had"], Sampling(seed=7))[0]
    assert page.generate("Tom had \n\t ") == ours.text


def test_a_story_that_ends_at_once_is_not_kept(page, site):
    end = site[1].tokenizer.eos_id
    page.tab.route(
        "**/generator.js",
        lambda route: route.fulfill(
            body=(site[0] / "generator.js").read_text().replace("const id = choose(", f"const id = {end} ?? choose("),
            content_type="text/javascript",
        ),
    )
    page.tab.reload()
    page.ready()
    for _ in range(2):
        page.generate("Tom")
        assert page.text("status") == "The model ended the story at once; there is nothing to keep."
        assert page.text("story") == "No story yet."
        assert page.tab.is_hidden("#story-buttons")
    assert page.tab.is_hidden("#past")


def test_stories_are_copied_and_saved(page):
    page.set(new_tokens=20)
    first = page.generate("A <b>cat</b> 🐈 said:\n&amp;")
    second = page.generate("A dog")
    page.tab.click("#copy")
    page.tab.wait_for_selector("#status:text-is('Copied.')")
    assert page.tab.evaluate("navigator.clipboard.readText()") == second
    page.tab.evaluate("document.getElementById('status').textContent = ''")
    page.tab.click("#stories >> text=Copy")
    page.tab.wait_for_selector("#status:text-is('Copied.')")
    assert page.tab.evaluate("navigator.clipboard.readText()") == first
    for button, content in (
        ("#save", second),
        ("#stories >> text=Save", first),
        ("#save-all", f"{first}\n\n* * *\n\n{second}"),
    ):
        with page.tab.expect_download() as saved:
            page.tab.click(button)
        assert Path(saved.value.path()).read_bytes() == (content + "\n").encode()


def test_a_prompt_is_shown_as_text_even_if_it_is_html(page):
    prompt = "<img src=x onerror=\"window.hacked=1\"><script>window.hacked=1</script> 'quoted' & so"
    page.set(new_tokens=20)
    assert page.generate(prompt).startswith(prompt)
    page.generate("next")
    assert page.tab.locator("#stories p").first.text_content().startswith(prompt)
    assert page.tab.locator("#story img, #stories img, #story script, #stories script").count() == 0
    assert page.tab.evaluate("window.hacked") is None


def test_a_prompt_of_ten_thousand_words_is_cut_to_the_newest_and_the_page_says_so(page, engine):
    prompt = " ".join(["once", "there", "was", "a", "bear"] * 2000)
    page.set(top_k=1, new_tokens=20)
    assert page.generate(prompt) == engine.generate([prompt], Sampling(top_k=1, max_new_tokens=20))[0].text
    assert "tokens, but the model sees 40: it continues from the newest" in page.text("notes")
    assert "the model no longer sees how it began" in page.text("notes")


def test_a_word_of_a_hundred_thousand_letters_is_fast(page):
    page.set(new_tokens=20)
    assert page.generate("ab" * 50_000).startswith("abab")


def test_a_wrong_seed_is_reported_and_nothing_is_generated(page):
    for seed in ("-1", "1.5"):
        page.set(seed=seed)
        page.tab.click("#generate")
        assert page.text("status") == "The seed must be an integer from 0 to 999,999,999."
        assert page.tab.evaluate("document.activeElement.id") == "seed"
    assert page.text("story") == "No story yet."
    page.set(seed=0)


def test_it_works_with_the_keyboard_alone(browser, address):
    page = WebPage(browser.new_page(), address).ready()
    keys = page.tab.keyboard
    for id_ in ("tab-write", "story", "prompt", "generate"):
        keys.press("Tab")
        assert page.tab.evaluate("document.activeElement.id") == id_
    keys.press("Tab")
    keys.press("Enter")  # the first example prompt; the focus returns to the text
    assert page.tab.input_value("#prompt") == "Once upon a time"
    assert page.tab.evaluate("document.activeElement.id") == "prompt"
    keys.type(" Mia")
    keys.press("Control+Enter")
    assert page.story().startswith("Once upon a time Mia")
    reached = set()
    for _ in range(30):
        keys.press("Tab")
        reached.add(page.tab.evaluate("document.activeElement.id || document.activeElement.tagName"))
    assert {"SUMMARY", "generate", "regenerate", "story", "by-word", "copy", "share", "save"} <= reached
    page.tab.focus("#regenerate")
    keys.press("Enter")  # disabled during generation: the focus is not lost
    page.story()
    assert page.tab.evaluate("document.activeElement.id") == "generate"
    page.tab.close()


@pytest.mark.parametrize("width", [320, 390])
def test_a_narrow_screen_needs_no_sideways_scrolling(browser, address, width):
    page = WebPage(browser.new_page(viewport={"width": width, "height": 700}), address).ready()
    page.set(new_tokens=20)
    page.generate("W" * 300)
    page.generate("Once")
    assert page.tab.evaluate("document.documentElement.scrollWidth") <= width
    page.tab.close()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_axe_finds_nothing_wrong(browser, address, dark):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")
    context = browser.new_context(color_scheme="dark" if dark else "light", bypass_csp=True)
    page = WebPage(context.new_page(), address).ready()
    for prompt in (None, "Tom", "Mia"):
        if prompt:
            page.set(new_tokens=20)
            page.generate(prompt)
        report = axe.Axe().run(page.tab)
        assert report.violations_count == 0, report.generate_report()
    context.route("**/f32.onnx*", lambda route: route.fulfill(status=404))
    page.tab.select_option("#kind", "f32")
    page.tab.wait_for_selector("#failure:visible")
    report = axe.Axe().run(page.tab)
    assert report.violations_count == 0, report.generate_report()
    context.close()


def test_a_story_continues_after_the_other_precision_failed_to_load(page, engine):
    page.set(top_k=1, new_tokens=20)
    page.generate("Lily")
    page.tab.context.route("**/q8.onnx*", lambda route: route.fulfill(status=503))
    page.tab.select_option("#kind", "q8")
    page.tab.wait_for_selector("#failure:visible")
    assert page.text("failure-text") == "model/q8.onnx could not be downloaded: the server answered 503."
    page.tab.select_option("#kind", "f32")
    page.ready()
    page.tab.click("#continue")
    assert page.story() == engine.generate(["Lily"], Sampling(top_k=1, max_new_tokens=40))[0].text
    page.errors.clear()  # of the browser, about the 503


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("model/q8.onnx", "model/q8.onnx is missing on the server. Was the whole folder uploaded?"),
        ("model/tokenizer.json", "model/tokenizer.json is missing on the server"),
        ("runtime/ort.wasm", "runtime/ort.wasm is missing on the server"),
        ("runtime/ort.js", "The worker of the page could not be started"),
        ("worker.js", "The worker of the page could not be started"),
        ("about.json", "The page could not load about.json"),
    ],
)
def test_a_missing_file_is_reported_and_can_be_retried(browser, site, tmp_path, name, message):
    shutil.copytree(site[0], tmp_path / "site")
    hidden = (tmp_path / "site" / name).rename(tmp_path / "hidden")
    with served(tmp_path / "site") as address:
        page = WebPage(browser.new_page(), address)
        page.tab.wait_for_selector("#failure:visible")
        assert message in page.text("failure-text")
        assert page.tab.is_disabled("#generate")
        hidden.rename(tmp_path / "site" / name)
        page.tab.click("#retry")
        page.ready()
        page.set(new_tokens=20)
        assert page.generate("Tom").startswith("Tom")
        page.tab.close()


def test_an_incomplete_or_damaged_file_is_reported(browser, site, tmp_path):
    shutil.copytree(site[0], tmp_path / "site")
    graph = tmp_path / "site" / "model" / "q8.onnx"
    whole = graph.read_bytes()
    with served(tmp_path / "site") as address:
        for content, message in (
            (whole[:-100], "model/q8.onnx is incomplete"),
            (b"x" * len(whole), "could not be opened"),
        ):
            graph.write_bytes(content)
            page = WebPage(browser.new_page(), address)
            page.tab.wait_for_selector("#failure:visible")
            assert message in page.text("failure-text")
            page.tab.close()


def test_a_large_model_is_downloaded_only_on_request(browser, site, tmp_path):
    shutil.copytree(site[0], tmp_path / "site")
    script = tmp_path / "site" / "page.js"
    script.write_text(script.read_text().replace("MAX_UNASKED = 40e6", "MAX_UNASKED = 1e6"))
    with served(tmp_path / "site") as address:
        page = WebPage(browser.new_page(), address)
        page.tab.wait_for_selector("#download:visible")
        assert not any("onnx" in url for url in page.requests)
        about = json.loads((tmp_path / "site" / "about.json").read_text())
        size = about["models"][0]["bytes"] + about["runtime"]["bytes"] + about["tokenizer"]["bytes"]
        assert page.text("download") == f"Download the model ({size / 1e6:.1f} MB)"
        page.tab.click("#download")
        page.ready()
        page.tab.close()


def test_opened_as_a_file_it_says_what_to_do(browser, site):
    page = browser.new_page()
    page.goto((site[0] / "index.html").as_uri())
    page.wait_for_selector("#failure:visible")
    assert "python -m http.server 8000" in page.text_content("#failure-text")
    page.close()
