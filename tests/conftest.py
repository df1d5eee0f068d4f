"""What tests share: the folder of real data beside the repository, and Hypothesis's profile."""

from __future__ import annotations

import getpass
import os
import signal
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings

from tests.systems import make_windows

# One folder for what torch compiles, and not one in the cache of each test.
KEPT_CODE = Path(tempfile.gettempdir()) / f"talewright-compiled-{getpass.getuser()}"
os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(KEPT_CODE))

settings.register_profile("talewright", deadline=None)  # first examples pay for imports and warm-up
settings.load_profile("talewright")

for name, handler in (("SIGINT", signal.default_int_handler), ("SIGHUP", signal.SIG_DFL)):
    number = getattr(signal, name, None)
    if (
        number is not None and signal.getsignal(number) == signal.SIG_IGN
    ):  # under nohup, or in the background: what a run would leave ignored
        signal.signal(number, handler)


def shared_folder() -> Path | None:
    """The folder of real data: TALEWRIGHT_SHARED, else `shared` beside the repository; None where there is none."""
    named = os.environ.get("TALEWRIGHT_SHARED")
    folder = Path(named) if named else Path(__file__).resolve().parents[2] / "shared"
    return folder if folder.is_dir() else None


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data; a test that asks for it is skipped where it is absent."""
    folder = shared_folder()
    if folder is None:
        pytest.skip("no real data here: neither TALEWRIGHT_SHARED nor a folder `shared` beside the repository")
    return folder


@pytest.fixture(scope="session")
def gpt2_folder(shared: Path) -> Path:
    """The folder of GPT-2's vocab.json and merges.txt."""
    folder = shared / "gpt2"
    if not (folder / "vocab.json").is_file():
        pytest.skip(f"no GPT-2 tokenizer files in {folder}")
    return folder


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process finds what it would find on Windows."""
    make_windows(monkeypatch)
