"""The house's plan: a room imports only from rooms to its left, the model from torch and the configuration alone."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[1] / "src" / "talewright"
ORDER = [
    ["errors"],
    ["config"],
    ["tokenizer", "model", "machine"],
    ["data"],
    ["train", "generate"],
    ["evaluate"],
    ["inspect", "export"],
    ["api", "bench", "listing"],
    ["judging", "looking", "plan", "scaling", "scoring", "verify"],
    ["studio"],
    ["cli"],
]
"""Left to right. A room knows none beside it, nor to its right."""
RANK = {room: rank for rank, rooms in enumerate(ORDER) for room in rooms}
DOORS = {"__init__", "__main__"}
"""The package's own: they are the way in, and stand before no room."""
MODULES = sorted(HOUSE.rglob("*.py"))


def room_of(file: Path) -> str:
    return file.relative_to(HOUSE).parts[0].removesuffix(".py")


def imports(file: Path) -> Iterator[str]:
    """Every module that the file imports, wherever in it, as a dotted name."""
    package = ["talewright", *file.relative_to(HOUSE).parts[:-1]]
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*parts, *([node.module] if node.module else [])])
            if base == "talewright":  # `from talewright import data` names the room last
                yield from (f"talewright.{alias.name}" for alias in node.names)
            else:
                yield base


def rooms_imported(file: Path) -> set[str]:
    """The rooms that the file imports, other than its own and what stands in the package itself (`__version__`)."""
    rooms = {name.split(".")[1] for name in imports(file) if name.startswith("talewright.")}
    return {room for room in rooms if not room.startswith("__")} - {room_of(file)}


def test_every_room_has_its_place() -> None:
    assert {room_of(file) for file in MODULES} - DOORS <= set(RANK)


@pytest.mark.parametrize("file", MODULES, ids=lambda file: str(file.relative_to(HOUSE)))
def test_a_room_imports_only_from_rooms_to_its_left(file: Path) -> None:
    room = room_of(file)
    if room in DOORS:
        return
    wrong = {other for other in rooms_imported(file) if RANK[other] >= RANK[room]}
    assert not wrong, f"{room} may not know {', '.join(sorted(wrong))}"


def test_the_model_imports_torch_numpy_and_the_configuration_alone() -> None:
    found = {name.split(".")[0] for file in (HOUSE / "model").glob("*.py") for name in imports(file)}
    assert found - set(sys.stdlib_module_names) == {
        "torch",
        "numpy",
        "talewright",
    }  # numpy draws dropout's numbers on a processor
    rooms = set().union(*(rooms_imported(file) for file in (HOUSE / "model").glob("*.py")))
    assert rooms <= {"config", "errors"}


def test_nothing_is_pickled_or_executed() -> None:
    """Weights are safetensors, the rest is JSON and YAML: what is read from a folder can run no code."""
    for file in MODULES:
        tree = ast.parse(file.read_text(encoding="utf-8"))
        assert not {"pickle", "dill", "joblib", "shelve", "marshal"} & set(imports(file)), file
        calls = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
        assert not {"torch.load", "torch.save", "yaml.unsafe_load", "eval", "exec"} & calls, file


def test_the_rule_would_catch_a_wrong_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.test_architecture.HOUSE", tmp_path)
    (tmp_path / "model").mkdir()
    file = tmp_path / "model" / "gpt.py"
    file.write_text(
        "def late():\n    from talewright import data\n    from ..train.loop import fit\nimport talewright.cli"
    )
    assert rooms_imported(file) == {"data", "train", "cli"}
