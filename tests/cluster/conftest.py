from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cluster.processes import Workplace


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workplace]:
    """A folder in which the run `alone` was trained by one process, undisturbed."""
    workplace = Workplace(tmp_path_factory.mktemp("cluster"))
    workplace.run_alone("alone")
    yield workplace
    workplace.close()
