"""The page of `talewright export --to web` in Chromium: its size, the seconds until it is ready, and its speed.

python benchmarks/page.py RUN [--rounds 3]

Needs playwright and Chromium. The page is served by this machine, so the seconds do not include the network. Each
precision generates stories of 100 tokens; the loss is on bundled stories, computed by onnxruntime.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import sync_playwright

from talewright import api
from talewright.data import bundled
from talewright.export.readers.onnx import reader
from talewright.export.web import GRAPHS

STORIES, TOKENS = 60, 100


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


def loss(graph: Path, stories: list[np.ndarray]) -> float:
    """Mean negative log-likelihood per token, in nats."""
    read, losses = reader(str(graph)), []
    for ids in stories:
        logits = read(ids[:-1]).astype(np.float64)
        logits -= np.logaddexp.reduce(logits, axis=-1, keepdims=True)
        losses += (-logits[np.arange(len(ids) - 1), ids[1:]]).tolist()
    return statistics.fmean(losses)


def measure(page: Any, address: str, kind: str, rounds: int) -> tuple[float, float]:
    """Seconds until the page is ready with this precision, and its median tokens per second.

    32 bits is loaded after 8 bits, so its seconds include neither the page nor onnxruntime.
    """
    started = time.perf_counter()
    page.goto(address)
    page.wait_for_selector("#generate:enabled")
    if page.input_value("#kind") != kind:  # the page loads the smaller one first
        page.evaluate("document.getElementById('settings').open = true")
        started = time.perf_counter()
        page.select_option("#kind", kind)
        page.wait_for_selector("#loading", state="visible")
        page.wait_for_selector("#generate:enabled")
    opened, speeds = time.perf_counter() - started, []
    for seed in range(rounds + 1):
        page.fill("#prompt", "Once upon a time")
        page.evaluate(
            "values => { for (const id in values) document.getElementById(id).value = values[id]; }",
            {"seed": seed, "new-tokens": TOKENS},
        )
        page.click("#generate")
        page.wait_for_selector("#story[aria-busy=false]")
        speeds.append(float(page.text_content("#status").split(" per second")[0].split()[-1]))
    return opened, statistics.median(speeds[1:])  # during the first, the browser still compiles


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    run = api.load(chosen.run)
    texts = run.tokenizer.encode_batch(list(bundled.stories(STORIES)))
    stories = [np.array([run.tokenizer.eos_id, *ids])[: run.recipe.model.context_length] for ids in texts]
    with tempfile.TemporaryDirectory() as work, sync_playwright() as driver:
        folder = Path(work) / "page"
        record = run.export(folder, "web")
        print(f"{run.recipe.name}: the folder has {record['bytes'] / 1e6:.1f} MB; {record['proof']}")
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(folder)))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for kind, graph in GRAPHS.items():
            page = browser.new_page()
            address = f"http://127.0.0.1:{server.server_port}/"
            opened, speed = measure(page, address, kind, chosen.rounds)
            size = (folder / graph).stat().st_size / 1e6
            nats = loss(folder / graph, stories)
            print(
                f"{kind}: {size:.1f} MB, ready after {opened:.1f} s, {speed:.0f} tokens/s, loss {nats:.4f}", flush=True
            )
            page.close()
        browser.close()
        server.shutdown()


if __name__ == "__main__":
    main()
