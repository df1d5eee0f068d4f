"""The page in a headless browser: it tells the engine's stories, and whatever goes wrong, it says so in a sentence."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from talewright.config import ModelConfig
from talewright.export import Source, export_model
from talewright.generate.engine import Engine
from talewright.generate.sampling import Sampling
from talewright.tokenizer import Tokenizer
from tests.export.browser import Visit, chromium, package_or_skip, served
from tests.export.sources import source_of

pytest.importorskip("onnxruntime", reason="writing the page needs onnxruntime (the extra onnx)")
pytest.importorskip("onnxscript", reason="writing the page needs onnxscript (the extra onnx)")
pytestmark = pytest.mark.slow
SHAPE = ModelConfig(n_layers=2, n_heads=4, d_model=32, d_ff=48, context_length=40, vocab_size=290)
STOP_AT_THE_THIRD_PIECE = """() => {
  let pieces = 0;
  const count = () => { pieces += 1; if (pieces === 3) document.getElementById("stop").click(); };
  new MutationObserver(count).observe(document.getElementById("told"), {childList: true});
}"""


@pytest.fixture(scope="module")
def site(tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Source]:
    """The page of a small model with ids to spare, and what it was made of."""
    package = package_or_skip()
    work = tmp_path_factory.mktemp("web")
    source = source_of(SHAPE, tokenizer)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TALEWRIGHT_CACHE", str(work / "cache"))
        (work / "cache" / "onnxruntime-web").mkdir(parents=True)
        (work / "cache" / "onnxruntime-web" / package.name).symlink_to(package)
        export_model(source, "web", work / "site")
    return work / "site", source


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def address(site: tuple[Path, Source]) -> Iterator[str]:
    with served(site[0]) as found:
        yield found


@pytest.fixture
def visit(browser: Any, address: str) -> Iterator[Visit]:
    """The page with 32 bits, ready to tell. At the end, nothing was asked of another server and nothing went wrong."""
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    found = Visit(context.new_page(), address).ready()
    found.page.evaluate("document.getElementById('settings').open = true")
    found.page.select_option("#kind", "f32")
    yield found.ready()
    assert found.errors == []
    assert any("model/f32.onnx" in url for url in found.asked)  # what the worker asks for is seen as well
    assert all(url.startswith((address, f"blob:{address}")) for url in found.asked)
    context.close()


@pytest.fixture
def engine(site: tuple[Path, Source]) -> Engine:
    return Engine(site[1].model, site[1].tokenizer, notify=lambda words: None)


@pytest.mark.parametrize("prompt", ["Once upon a time", "", "The little rabbit was very hungry 🐰\n\n  \tand don't"])
@pytest.mark.parametrize("tokens", [20, 100])  # within the context, and far beyond it
def test_it_tells_greedily_what_the_engine_tells(visit, engine, prompt, tokens):
    visit.set(top_k=1, new_tokens=tokens)
    ours = engine.generate([prompt], Sampling(top_k=1, max_new_tokens=tokens))[0]
    assert visit.tell(prompt) == ours.text
    assert visit.words("status").startswith("The end." if ours.finished else f"Paused after {ours.new_tokens} tokens")


def test_a_seed_tells_the_story_that_it_tells_in_the_engine(visit, engine):
    for seed, settings in enumerate(
        ({}, {"top_p": 0.6}, {"repetition_penalty": 1.5}, {"top_p": 0.9, "temperature": 1.4})
    ):
        sampling = Sampling(**{"top_k": 50, "max_new_tokens": 60, "seed": seed, **settings})
        inputs = {
            "temperature": sampling.temperature,
            "top_p": sampling.top_p or 1,
            "penalty": sampling.repetition_penalty,
        }
        visit.set(new_tokens=60, seed=seed, **inputs)
        assert (
            visit.tell("One day, a small dog found a")
            == engine.generate(["One day, a small dog found a"], sampling)[0].text
        )
    assert len(set(visit.page.locator("#stories p").all_text_contents())) == 3


def test_going_on_is_as_if_it_had_not_paused_even_with_the_other_precision_in_between(visit, engine):
    visit.set(top_k=1, new_tokens=20)
    once = engine.generate(["Lily"], Sampling(top_k=1, max_new_tokens=80))[0]
    assert visit.tell("Lily") == engine.generate(["Lily"], Sampling(top_k=1, max_new_tokens=20))[0].text
    for _ in range(2):
        visit.page.click("#go-on")
        visit.told()
    for kind in ("q8", "f32"):
        visit.page.select_option("#kind", kind)
        visit.ready()
    visit.page.click("#go-on")
    assert visit.told() == once.text


def test_it_stops_when_told_and_tells_anew_with_the_next_seed(visit, engine):
    visit.set(new_tokens=400, seed=5)
    visit.page.evaluate(STOP_AT_THE_THIRD_PIECE)
    part = visit.tell("Tom")
    assert visit.words("status").startswith("Stopped.")
    whole = engine.generate(["Tom"], Sampling(top_k=50, seed=5, max_new_tokens=400))[0].text
    assert whole.startswith(part)
    assert len("Tom") < len(part) < len(whole)
    visit.set(new_tokens=30)
    visit.page.click("#anew")
    assert visit.told() == engine.generate(["Tom"], Sampling(top_k=50, seed=6, max_new_tokens=30))[0].text
    assert visit.page.input_value("#seed") == "6"
    assert visit.page.locator("#stories p").all_text_contents() == [part]


def test_stories_are_copied_and_saved(visit):
    visit.set(new_tokens=20)
    first = visit.tell("A <b>cat</b> 🐈 said:\n&amp;")
    second = visit.tell("A dog")
    visit.page.click("#copy")
    visit.page.wait_for_selector("#status:text-is('Copied.')")
    assert visit.page.evaluate("navigator.clipboard.readText()") == second
    visit.page.evaluate("document.getElementById('status').textContent = ''")
    visit.page.click("#stories >> text=Copy")
    visit.page.wait_for_selector("#status:text-is('Copied.')")
    assert visit.page.evaluate("navigator.clipboard.readText()") == first
    for button, words in (
        ("#save", second),
        ("#stories >> text=Save", first),
        ("#save-all", f"{first}\n\n* * *\n\n{second}"),
    ):
        with visit.page.expect_download() as saved:
            visit.page.click(button)
        assert Path(saved.value.path()).read_bytes() == (words + "\n").encode()


def test_what_is_written_is_shown_as_text_whatever_it_is(visit):
    prompt = "<img src=x onerror=\"window.hacked=1\"><script>window.hacked=1</script> 'quoted' & so"
    visit.set(new_tokens=20)
    assert visit.tell(prompt).startswith(prompt)
    visit.tell("next")
    assert visit.page.locator("#stories p").first.text_content().startswith(prompt)
    assert visit.page.locator("#story img, #stories img, #story script, #stories script").count() == 0
    assert visit.page.evaluate("window.hacked") is None


def test_ten_thousand_words_are_told_on_from_the_newest_and_the_page_says_so(visit, engine):
    prompt = " ".join(["once", "there", "was", "a", "bear"] * 2000)
    visit.set(top_k=1, new_tokens=20)
    assert visit.tell(prompt) == engine.generate([prompt], Sampling(top_k=1, max_new_tokens=20))[0].text
    assert "tokens long, and the model sees 40: it goes on from the newest" in visit.words("notes")
    assert "it no longer knows how it began" in visit.words("notes")


def test_a_word_of_a_hundred_thousand_letters_does_not_hold_it_up(visit):
    visit.set(new_tokens=20)
    assert visit.tell("ab" * 50_000).startswith("abab")


def test_a_wrong_seed_is_said_and_nothing_is_told(visit):
    for seed in ("", "-1", "1.5"):
        visit.set(seed=seed)
        visit.page.click("#tell")
        assert visit.words("status") == "The seed is a whole number from 0 to 999,999,999."
        assert visit.page.evaluate("document.activeElement.id") == "seed"
    assert visit.words("story") == "Nothing is told yet."
    visit.set(seed=0)


def test_it_is_used_with_the_keyboard_alone(browser, address):
    visit = Visit(browser.new_page(), address).ready()
    keys = visit.page.keyboard
    keys.press("Tab")
    assert visit.page.evaluate("document.activeElement.id") == "prompt"
    keys.press("Tab")
    keys.press("Enter")  # the first of the beginnings, and back to the text
    assert visit.page.input_value("#prompt") == "Once upon a time"
    assert visit.page.evaluate("document.activeElement.id") == "prompt"
    keys.type(" Mia")
    keys.press("Control+Enter")
    assert visit.told().startswith("Once upon a time Mia")
    reached = set()
    for _ in range(30):
        keys.press("Tab")
        reached.add(visit.page.evaluate("document.activeElement.id || document.activeElement.tagName"))
    assert {"SUMMARY", "tell", "anew", "story", "copy", "save"} <= reached
    visit.page.focus("#anew")
    keys.press("Enter")  # goes out of use while it tells: the focus is not lost
    visit.told()
    assert visit.page.evaluate("document.activeElement.id") == "tell"
    visit.page.close()


@pytest.mark.parametrize("width", [320, 390])
def test_a_narrow_screen_needs_no_sideways_scrolling(browser, address, width):
    visit = Visit(browser.new_page(viewport={"width": width, "height": 700}), address).ready()
    visit.set(new_tokens=20)
    visit.tell("W" * 300)
    visit.tell("Once")
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= width
    visit.page.close()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_axe_finds_nothing_wrong(browser, address, dark):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")
    context = browser.new_context(color_scheme="dark" if dark else "light", bypass_csp=True)
    visit = Visit(context.new_page(), address).ready()
    for prompt in (None, "Tom", "Mia"):
        if prompt:
            visit.set(new_tokens=20)
            visit.tell(prompt)
        found = axe.Axe().run(visit.page)
        assert found.violations_count == 0, found.generate_report()
    context.route("**/f32.onnx*", lambda route: route.fulfill(status=404))
    visit.page.select_option("#kind", "f32")
    visit.page.wait_for_selector("#failing:visible")
    found = axe.Axe().run(visit.page)
    assert found.violations_count == 0, found.generate_report()
    context.close()


def test_what_was_told_goes_on_after_the_other_precision_could_not_be_had(visit, engine):
    visit.set(top_k=1, new_tokens=20)
    visit.tell("Lily")
    visit.page.context.route("**/q8.onnx*", lambda route: route.fulfill(status=503))
    visit.page.select_option("#kind", "q8")
    visit.page.wait_for_selector("#failing:visible")
    assert visit.words("failing-words") == "The server did not give model/q8.onnx: it answered 503."
    visit.page.select_option("#kind", "f32")
    visit.ready()
    visit.page.click("#go-on")
    assert visit.told() == engine.generate(["Lily"], Sampling(top_k=1, max_new_tokens=40))[0].text
    visit.errors.clear()  # of the browser, about the 503


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("model/q8.onnx", "model/q8.onnx is missing on the server. Was the whole folder put there?"),
        ("model/tokenizer.json", "model/tokenizer.json is missing on the server"),
        ("runtime/ort.wasm", "runtime/ort.wasm is missing on the server"),
        ("runtime/ort.js", "The part of the page that tells stories could not be started"),
        ("worker.js", "The part of the page that tells stories could not be started"),
        ("about.json", "The page cannot find out what it should load"),
    ],
)
def test_a_missing_file_is_named_and_asked_for_again(browser, site, tmp_path, name, words):
    shutil.copytree(site[0], tmp_path / "site")
    hidden = (tmp_path / "site" / name).rename(tmp_path / "hidden")
    with served(tmp_path / "site") as address:
        visit = Visit(browser.new_page(), address)
        visit.page.wait_for_selector("#failing:visible")
        assert words in visit.words("failing-words")
        assert visit.page.is_disabled("#tell")
        hidden.rename(tmp_path / "site" / name)
        visit.page.click("#again")
        visit.ready()
        visit.set(new_tokens=20)
        assert visit.tell("Tom").startswith("Tom")
        visit.page.close()


def test_a_file_that_is_not_whole_or_is_no_model_is_said(browser, site, tmp_path):
    shutil.copytree(site[0], tmp_path / "site")
    graph = tmp_path / "site" / "model" / "q8.onnx"
    whole = graph.read_bytes()
    with served(tmp_path / "site") as address:
        for content, words in (
            (whole[:-100], "model/q8.onnx is not whole"),
            (b"x" * len(whole), "could not be opened"),
        ):
            graph.write_bytes(content)
            visit = Visit(browser.new_page(), address)
            visit.page.wait_for_selector("#failing:visible")
            assert words in visit.words("failing-words")
            visit.page.close()


def test_a_large_model_is_fetched_when_asked(browser, site, tmp_path):
    shutil.copytree(site[0], tmp_path / "site")
    script = tmp_path / "site" / "page.js"
    script.write_text(script.read_text().replace("UNASKED = 40e6", "UNASKED = 1e6"))
    with served(tmp_path / "site") as address:
        visit = Visit(browser.new_page(), address)
        visit.page.wait_for_selector("#fetch:visible")
        assert not any("onnx" in url for url in visit.asked)
        about = json.loads((tmp_path / "site" / "about.json").read_text())
        size = about["models"][0]["bytes"] + about["runtime"]["bytes"] + about["tokenizer"]["bytes"]
        assert visit.words("fetch") == f"Fetch the storyteller ({size / 1e6:.1f} MB)"
        visit.page.click("#fetch")
        visit.ready()
        visit.page.close()


def test_opened_as_a_file_it_says_what_to_do(browser, site):
    page = browser.new_page()
    page.goto((site[0] / "index.html").as_uri())
    page.wait_for_selector("#failing:visible")
    assert "python -m http.server 8000" in page.text_content("#failing-words")
    page.close()
