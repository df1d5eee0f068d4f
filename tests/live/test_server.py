"""The live page over HTTP: its states, who may ask, and that a training never depends on it."""

from __future__ import annotations

import http.client
import json
import re
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from talewright.config import load_recipe, recipe_to_yaml
from talewright.live import server
from talewright.live.page import page
from talewright.live.server import LivePage, has_display, live_page
from tests.export.browser import chromium

ADDRESS = re.compile(r"http://127\.0\.0\.1:(\d+)/")


@pytest.fixture(autouse=True)
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses at which a browser was opened; a screen is there."""
    addresses: list[str] = []
    monkeypatch.setattr(server.webbrowser, "open", addresses.append)
    monkeypatch.setattr(server, "has_display", lambda: True)
    monkeypatch.setattr(server, "PORT", 0)
    return addresses


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder that has not begun."""
    return tmp_path / "my run"


def begin(run: Path, max_steps: int = 10) -> None:
    run.mkdir()
    recipe = load_recipe("quickstart", {"train.max_steps": str(max_steps), "train.max_minutes": "null"})
    (run / "recipe.yaml").write_text(recipe_to_yaml(recipe), encoding="utf-8")
    log(run, {"event": "run", "data": {"tokens": 1000}}, evaluation(0, 8.0))


def log(run: Path, *events: dict[str, Any], name: str = "log.jsonl") -> None:
    with (run / name).open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(event) + "\n" for event in events)


def step(number: int, loss: float = 5.0) -> dict[str, Any]:
    return {"event": "step", "step": number, "loss": loss, "tokens": 64 * number, "seconds": number} | {
        "tokens_per_second": 64.0
    }


def evaluation(number: int, loss: float) -> dict[str, Any]:
    return {"event": "evaluation", "step": number, "loss": loss, "bits_per_byte": loss / 3, "seconds": number}


def get(port: int, path: str, host: str = "127.0.0.1") -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", path, headers={"Host": f"{host}:{port}"})
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def progress(port: int) -> dict[str, Any]:
    status, text = get(port, "/progress")
    assert status == 200
    return json.loads(text)


@pytest.fixture
def port(caplog: pytest.LogCaptureFixture) -> Callable[[], int]:
    """Tells the port that was logged last."""
    caplog.set_level("INFO", logger="talewright")
    return lambda: int([found[1] for found in map(ADDRESS.search, caplog.messages) if found][-1])


def test_the_page_follows_a_run_from_before_its_start_to_its_end(run, port, opened):
    with live_page(run, lambda run: {"bigram model": 4.5}) as status:
        assert progress(port())["state"] == "starting"  # there is no folder yet
        assert get(port(), "/")[0] == 200
        begin(run)
        first = progress(port())
        assert (first["state"], first["tiles"]["step"], first["tiles"]["left"]) == ("starting", "0 of 10", "-")
        assert first["message"].startswith("Before the first step")
        log(run, *map(step, range(1, 5)), evaluation(4, 6.0))
        log(run, {"step": 4, "prompt": "Once", "text": "Once upon\n\n\na\x1b time"}, name="samples.jsonl")
        now = progress(port())
        assert (now["state"], now["fraction"], now["tiles"]["left"]) == ("running", 0.4, "0:06")
        assert now["tiles"]["best"] == "6.000"
        assert now["headline"] == "Validation loss: 8.00 (untrained) to 6.00 at step 4"
        assert now["samples"] == [{"name": "Step 4", "prompt": "Once", "text": " upon\na\ufffd time"}]
        assert now["losses"]["validation"] == [[0, 8.0], [4, 6.0]]
        wait_for(lambda: progress(port())["losses"]["baselines"] == [{"name": "bigram model", "loss": 4.5}])
        status.finish()
        last = progress(port())
        assert (last["state"], last["message"], last["tiles"]["left"]) == ("finished", "Finished at step 4.", "-")
    assert opened == []  # a page was open before the run began


def test_the_browser_is_opened_once_there_is_something_to_see(run, port, opened):
    with live_page(run, lambda run: {}):
        time.sleep(0.5)
        assert opened == []
        begin(run)
        wait_for(lambda: opened == [f"http://127.0.0.1:{port()}/"])


def test_a_resumed_run_starts_with_what_it_had_and_drops_what_it_rewinds(run, port):
    begin(run)
    log(run, *map(step, range(1, 9)))
    with live_page(run, lambda run: {}):
        assert (progress(port())["state"], progress(port())["tiles"]["step"]) == ("starting", "8 of 10")
        (run / "log.jsonl").unlink()
        log(run, *map(step, range(1, 4)), {"event": "resume", "step": 3}, step(4, 2.0))
        now = progress(port())
        assert (now["state"], now["tiles"]["step"]) == ("running", "4 of 10")
        assert now["losses"]["training"][-1] == [4, 2.0]


@pytest.mark.parametrize(
    ("error", "state", "message"),
    [
        (KeyboardInterrupt(), "stopped", "Stopped at step 1. To continue: talewright train --resume "),
        (SystemExit(143), "stopped", "Stopped at step 1."),
        (ValueError("the disk\x1b is full"), "failed", "Failed: the disk"),
    ],
)
def test_an_open_page_reads_how_the_training_ended(run, monkeypatch, error, state, message):
    """The page asks every two seconds; a training that ends waits for its next question."""
    begin(run)
    log(run, step(1))
    kept: list[LivePage] = []

    def keep(live: LivePage) -> Any:
        kept.append(live)
        return start(live)

    start = server._start_server
    monkeypatch.setattr(server, "_start_server", keep)
    monkeypatch.setattr(server, "PATIENCE", 0.0)
    with pytest.raises(type(error)), live_page(run, lambda run: {}):
        raise error
    answer = json.loads(kept[0].progress())
    assert answer["state"] == state
    assert answer["message"].startswith(message)
    assert "\x1b" not in answer["message"]
    monkeypatch.setattr(server, "PATIENCE", 1.0)
    started = time.monotonic()
    kept[0].wait_for_reader()  # it has been read
    assert time.monotonic() - started < 0.5
    kept[0].answered = "running"
    kept[0].wait_for_reader()  # the page is open, and has not
    assert time.monotonic() - started > 1


def test_a_taken_port_gives_another(run, port, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setattr(server, "PORT", taken.getsockname()[1])
        with live_page(run, lambda run: {}):
            assert port() != taken.getsockname()[1]
            assert get(port(), "/progress")[0] == 200


def test_without_any_port_or_baselines_training_goes_on(run, monkeypatch, caplog):
    def refuse(*words: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(server, "_Server", refuse)
    with live_page(run, lambda run: {}) as status:
        status.finish()
    assert "no live page: Permission denied. Training continues" in caplog.text


def test_baselines_that_cannot_be_computed_are_left_out(run, port):
    def fail(run: Path) -> dict[str, float]:
        raise OSError("the stories are gone")

    begin(run)
    with live_page(run, fail):
        log(run, step(1))
        for _ in range(3):
            assert progress(port())["losses"]["baselines"] == []


def test_only_pages_of_this_machine_may_ask_and_only_for_these(run, port):
    with live_page(run, lambda run: {}):
        assert get(port(), "/progress", host="localhost")[0] == 200
        assert get(port(), "/progress", host="attacker.example")[0] == 403
        assert get(port(), "/../../etc/passwd")[0] == 404
        assert get(port(), "/log.jsonl")[0] == 404


def test_damaged_lines_and_strange_values_are_skipped(run, port):
    begin(run)
    with live_page(run, lambda run: {}):
        (run / "recipe.yaml").write_text("train: {", encoding="utf-8")
        log(run, step(1), {"event": "step"}, {"event": "step", "step": "2", "loss": 1}, step(3, float("nan")))
        log(run, {"event": "run", "data": 3}, {"event": "evaluation", "step": 2, "loss": None})
        log(run, {"step": None, "prompt": 3}, name="samples.jsonl")
        now = progress(port())
        assert (now["tiles"]["step"], now["fraction"], len(now["samples"])) == ("1", 0.0, 1)


def test_the_page_loads_nothing_from_elsewhere():
    text = page()
    assert not re.search(r"""(?:src|href)\s*=\s*["']?(?:https?:)?//""", text)
    assert not re.search(r"@import|url\(\s*['\"]?http", text)
    assert "connect-src 'self'" in text


@pytest.mark.parametrize(
    ("platform", "variables", "seen"),
    [
        ("linux", {}, False),
        ("linux", {"DISPLAY": ":0"}, True),
        ("linux", {"WAYLAND_DISPLAY": "wayland-0"}, True),
        ("linux", {"DISPLAY": "localhost:10.0", "SSH_CONNECTION": "a b"}, False),
        ("darwin", {}, True),
        ("darwin", {"SSH_CONNECTION": "a b"}, False),
        ("win32", {}, True),
    ],
)
def test_a_browser_is_opened_only_where_it_is_seen(monkeypatch, platform, variables, seen):
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SSH_CONNECTION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(server.sys, "platform", platform)
    assert has_display() is seen


def test_a_browser_shows_the_run_and_goes_on_when_the_training_is_gone(run, port):
    begin(run)
    with chromium() as browser:
        tab = browser.new_page()
        requests, errors = [], []
        tab.on("request", lambda request: requests.append(request.url))
        tab.on("pageerror", lambda error: errors.append(str(error)))
        with live_page(run, lambda run: {"bigram model": 4.5}) as status:
            tab.goto(f"http://127.0.0.1:{port()}/")
            tab.wait_for_selector("#status[data-state=starting]")
            log(run, *map(step, range(1, 5)), evaluation(4, 6.0))
            log(run, {"step": 4, "prompt": "Once", "text": "Once <b>upon</b>"}, name="samples.jsonl")
            tab.wait_for_selector("#losses svg >> text=bigram model")
            assert tab.inner_text("[data-figure=step]") == "4 of 10"
            assert tab.inner_text("#samples p") == "Once <b>upon</b>"
            shown = tab.locator("#losses svg").inner_html()
            log(run, *map(step, range(5, 10)))
            tab.wait_for_function("before => document.querySelector('#losses svg').innerHTML !== before", arg=shown)
            box = tab.locator("#losses svg").bounding_box()
            for i in range(3):
                tab.mouse.move(box["x"] + 200 + i, box["y"] + 200)
                tab.wait_for_timeout(200)
            assert "nats per token" in tab.inner_text("#vg-tooltip-element.visible")
            tab.get_by_label("Logarithmic loss axis").check()
            status.finish()
            tab.wait_for_selector("#status[data-state=finished]")
        tab.wait_for_timeout(2500)
        assert tab.is_hidden("#lost")  # that a finished training answers no more is no news
        assert tab.inner_text("[data-figure=step]") == "9 of 10"
    assert errors == []
    assert {url for url in requests if not url.startswith(("http://127.0.0.1:", "data:"))} == set()


def test_a_browser_says_that_a_training_was_lost(run, port):
    begin(run)
    with chromium() as browser:
        tab = browser.new_page()
        with live_page(run, lambda run: {}):
            log(run, step(1))
            tab.goto(f"http://127.0.0.1:{port()}/")
            tab.wait_for_selector("#status[data-state=running]")
            tab.route("**/progress", lambda route: route.abort())
            tab.wait_for_selector("#lost:visible")
            tab.unroute("**/progress")
            tab.wait_for_selector("#lost", state="hidden")


def wait_for(condition: Any, seconds: float = 30) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.05)
