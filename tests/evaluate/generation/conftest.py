"""Real stories."""

from __future__ import annotations

import pytest

from talewright.config import DataConfig
from talewright.data import read_stories


@pytest.fixture(scope="session")
def real() -> list[str]:
    return list(read_stories(DataConfig(source="bundled", limit=300)))
