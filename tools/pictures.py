"""Make the pictures of README from a run: its report, the studio and a terminal, as a user sees them.

    python -m tools.pictures runs/stories-1 docs/pictures

Needs a Chromium, and the extra `studio`.
"""

from __future__ import annotations

import argparse
import io
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from rich.console import Console
from rich.text import Text

WIDTH, HEIGHT = 1280, 860
COLUMNS = 84
STUDIO_PORT = 7899
SEED = 7
PROMPT = "Once upon a time"


def main() -> None:
    """Write report.png, studio.png and terminal.svg into the folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="run folder")
    parser.add_argument("folder", type=Path, help="folder for the pictures")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    (options.folder / "terminal.svg").write_text(terminal(), encoding="utf-8")
    with tempfile.TemporaryDirectory() as temporary, browser() as driver:
        subprocess.run([*talewright("inspect", str(options.run)), "--out", temporary], check=True)
        picture(driver, (Path(temporary) / "report.html").as_uri(), options.folder / "report.png")
        with studio(options.run) as address:
            picture(driver, address, options.folder / "studio.png", before=generate_story)


def talewright(*words: str) -> list[str]:
    """The command line of this Python's Talewright."""
    return [sys.executable, "-m", "talewright", *words]


def terminal() -> str:
    """An SVG of a terminal in which the included model writes a story."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    command = f'talewright generate --prompt "{PROMPT}" --seed {SEED}'
    console.print(Text.assemble(("$ ", "bold green"), (command, "bold")))
    words = ("generate", "--prompt", PROMPT, "--seed", str(SEED))
    done = subprocess.run(talewright(*words), capture_output=True, text=True, check=True)
    console.print(Text.from_ansi(done.stdout.rstrip()))
    picture = console.export_svg(title="talewright")
    return re.sub(r"@font-face {.*?}", "", picture, flags=re.DOTALL)  # fonts of a server that no reader should ask


@contextmanager
def browser() -> Iterator[Any]:
    """A headless Chromium."""
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        raise SystemExit("pictures: no Chromium on this machine")
    with sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield opened
        opened.close()


@contextmanager
def studio(run: Path) -> Iterator[str]:
    """The address of the studio with that run, while it is served."""
    process = subprocess.Popen(talewright("studio", str(run), "--port", str(STUDIO_PORT)), stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{STUDIO_PORT}/"
    try:
        for _ in range(240):
            try:
                urlopen(address).close()
                break
            except URLError:
                time.sleep(0.5)
        yield address
    finally:
        process.terminate()
        process.wait()


def generate_story(page: Any) -> None:
    """Let the studio write a story, and wait until it is there."""
    page.get_by_role("button", name="Generate", exact=True).click()
    page.wait_for_timeout(15_000)


def picture(driver: Any, address: str, path: Path, before: Any = None) -> None:
    """Write what the browser shows of the page's first screen."""
    page = driver.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
    page.goto(address)
    page.wait_for_timeout(3_000)
    if before is not None:
        before(page)
    page.screenshot(path=path)
    page.close()


if __name__ == "__main__":
    main()
