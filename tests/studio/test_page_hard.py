"""The page under hard conditions: whatever is typed or lost, it shows a sentence, and the server keeps running."""

from __future__ import annotations

import json
import os
import re
import shutil
import urllib.error
import urllib.request

import pytest

from tests.studio.browser import status, submit, tab, tell

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    "prompt",
    [
        "",
        "🐉🏳️‍🌈 a dragon",
        "<script>window.hurt = 1</script><img src=x onerror='window.hurt = 1'>",
        "${window.hurt = 1} {{x}}",
    ],
)
def test_any_prompt_is_shown_as_text(page, prompt):
    submit(page, prompt)
    page.get_by_role("group", name="Story 1").wait_for()
    assert page.text_content("#story .story").startswith(prompt)
    assert page.evaluate("window.hurt") is None


def test_long_prompts_are_accepted_or_refused_in_a_sentence(page):
    tell(page, "dog " * 10_000)
    status(page, "longer than the model's context")
    submit(page, "x" * 80_001)
    status(page, "up to 80,000 are accepted here")
    tell(page, "A cat")


def test_a_run_that_is_deleted_leaves_a_sentence_and_a_server(page, served_run, pattern):
    gone = "the run tales is gone"
    tell(page)
    shutil.rmtree(served_run)
    try:
        page.click("#generate")
        status(page, re.compile(gone, re.IGNORECASE))
        page.click(".toggle")
        tab(page, "Compare")
        page.click("#generate-both")
        for side in ("#side-1", "#side-2"):
            page.locator(side).get_by_text(gone).wait_for()
        tab(page, "Inside")
        status(page, "The run tales is gone", "#inside-status")
        tab(page, "Steer")
        status(page, "The run tales is gone", "#steer-status")
        tab(page, "Watch")
        status(page, "The run tales is gone", "#watch-status")
        assert "Traceback" not in page.content()
    finally:
        shutil.copytree(pattern, served_run)
    tab(page, "Generate")
    tell(page)


def test_a_partial_checkpoint_is_not_offered_and_a_damaged_one_is_reported(page, served_run, address):
    partial = served_run / "checkpoints" / ".step-30.partial"
    partial.mkdir()
    (partial / "model.safetensors").write_bytes(b"half")
    weights = served_run / "checkpoints" / "step-20" / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:100])
    os.utime(weights.with_name("manifest.json"))  # as if written again: the model in memory is not used
    try:
        page.goto(address)
        page.get_by_label("Model").click()
        offered = [each.lstrip("✓\n") for each in page.get_by_role("option").all_inner_texts()]
        assert offered == ["tales · 0.01M", "tales · step 20 · 0.01M · 1.10 bits per byte"]
        page.get_by_role("option", name="tales · step 20").click()
        submit(page, "A cat")
        status(page, "damaged")
        assert str(served_run.parent) not in page.content()
    finally:
        weights.write_bytes(whole)
        shutil.rmtree(partial)
    assert tell(page).startswith("Once upon a time")


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file={run}/recipe.yaml",
        "/gradio_api/file=/etc/passwd",
        "/file=/etc/passwd",
        "/gradio_api/file=../../pyproject.toml",
    ],
)
def test_no_file_is_served(address, served_run, path):
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(address + path.format(run=served_run), timeout=200)
    assert refused.value.code in (403, 404)


def test_nothing_is_reported_and_no_font_is_fetched(address):
    html = urllib.request.urlopen(address, timeout=200).read().decode()
    config = json.loads(urllib.request.urlopen(address + "/config", timeout=200).read())
    assert config["analytics_enabled"] is False
    assert not re.findall(r"<(?:script|link|img|iframe)[^>]+(?:src|href)=[\"']https?://", html)
    css = urllib.request.urlopen(address + "/theme.css", timeout=200).read().decode()
    assert "@font-face" not in css
    assert not re.findall(r"https?://(?!www\.w3\.org/)", css)  # only the names of SVG, which are never fetched
