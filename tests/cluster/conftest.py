from __future__ import annotations

import pytest

from tests.cluster.processes import Workplace


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """A folder in which the run `alone` was trained by one process, undisturbed."""
    workplace = Workplace(tmp_path_factory.mktemp("cluster"))
    workplace.run_alone("alone")
    return workplace
