"""The structure of the code: which package may import which, and what names, sizes and words are allowed."""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "talewright"
ORDER = [
    ["errors"],
    ["version", "cpus", "markdown", "look"],
    ["files", "locks"],
    ["config"],
    ["machine"],
    ["model", "tokenizer"],
    ["data"],
    ["run"],
    ["train", "generate"],
    ["evaluate"],
    ["inspect", "export", "live"],
    ["scaling", "server"],
    ["studio"],
    ["api"],
    ["cli"],
]
"""A package (or a module beside the packages) imports only from those in earlier lists."""
RANK = {package: rank for rank, packages in enumerate(ORDER) for package in packages}
ENTRY_POINTS = {"__init__", "__main__"}
"""They may import any package, and none imports them."""
LONGEST_MODULE = 350

PRIVATE_WORDS = {"told", "telling", "taught", "shelf", "spool", "floors", "wishes", "grams", "heights", "likeliest"}
"""Words that the field does not use. See `words_of` for where they may occur."""
STORY_TEXT = {"src/talewright/evaluate/multiple_choice/understanding.py", "tests/test_architecture.py"}
"""Modules that hold story text among other code, or these words themselves."""
OLD_NAMES = {("src/talewright/cli/evaluate.py", "told")} | {
    ("src/talewright/evaluate/scores.py", word) for word in ("told", "telling", "floors")
}
"""Names of earlier versions that are still read: options, and keys of files."""


@cache
def modules() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


@cache
def tree_of(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def package_of(file: Path) -> str:
    return file.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports(file: Path) -> Iterator[str]:
    """Every module that the file imports, anywhere in it, as a dotted name."""
    package = ["talewright", *file.relative_to(SOURCE).parts[:-1]]
    for node in ast.walk(tree_of(file)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*parts, *([node.module] if node.module else [])])
            if base == "talewright":  # `from talewright import data` names the package last
                yield from (f"talewright.{alias.name}" for alias in node.names)
            else:
                yield base


def packages_imported(file: Path) -> set[str]:
    """The other packages that the file imports."""
    packages = {name.split(".")[1] for name in imports(file) if name.startswith("talewright.")}
    return {package for package in packages if not package.startswith("__")} - {package_of(file)}


def import_arrows() -> set[tuple[str, str]]:
    """Pairs of packages of which the first imports the second."""
    files = [file for file in modules() if package_of(file) not in ENTRY_POINTS]
    return {(package_of(file), other) for file in files for other in packages_imported(file)}


def diagram_arrows() -> set[tuple[str, str]]:
    """The imports that do not follow from others (the transitive reduction): all of them would be too many to read."""
    arrows = import_arrows()

    def reached(start: str, without: tuple[str, str]) -> set[str]:
        seen: set[str] = set()
        waiting = [start]
        while waiting:
            package = waiting.pop()
            waiting += {b for a, b in arrows if a == package and (a, b) != without and b not in seen}
            seen |= set(waiting)
        return seen

    return {(a, b) for a, b in arrows if b not in reached(a, without=(a, b))}


def test_every_package_has_its_place_in_the_order() -> None:
    assert {package_of(file) for file in modules()} - ENTRY_POINTS == set(RANK)


@pytest.mark.parametrize("package", RANK)
def test_a_package_imports_only_from_earlier_ones(package: str) -> None:
    files = [file for file in modules() if package_of(file) == package]
    assert files
    wrong = {
        f"{file.relative_to(SOURCE)} imports {other}"
        for file in files
        for other in packages_imported(file)
        if RANK.get(other, len(ORDER)) >= RANK[package]
    }
    assert not wrong


def test_packages_do_not_import_in_a_cycle() -> None:
    graph: dict[str, set[str]] = {}
    for importer, imported in import_arrows():
        graph.setdefault(importer, set()).add(imported)
    assert tuple(TopologicalSorter(graph).static_order())  # raises CycleError


def test_the_diagram_shows_the_imports_that_the_code_has() -> None:
    """In docs/ARCHITECTURE.md, `a --> b` means that package a imports package b. Imports that follow from others along
    the arrows are not drawn.
    """
    text = (ROOT / "docs" / "ARCHITECTURE.md").read_text(encoding="utf-8")
    block = re.search(r"```mermaid\n\s*graph LR\n(.*?)```", text, re.DOTALL)
    assert block, "no diagram: python -m tests.test_architecture prints it"
    drawn = set(re.findall(r"^\s*(\w+) --> (\w+)\s*$", block[1], re.MULTILINE))
    assert drawn == diagram_arrows()


def test_the_model_imports_only_torch_numpy_and_the_configuration() -> None:
    files = list((SOURCE / "model").glob("*.py"))
    found = {name.split(".")[0] for file in files for name in imports(file)} - set(sys.stdlib_module_names)
    assert found == {"torch", "numpy", "talewright"}  # numpy draws dropout's numbers on a CPU
    assert set().union(*map(packages_imported, files)) <= {"config", "errors"}


def test_nothing_is_pickled_or_executed() -> None:
    """Weights are safetensors, the rest is JSON and YAML: reading a folder runs no code from it."""
    for file in modules():
        assert not {"pickle", "dill", "joblib", "shelve", "marshal"} & set(imports(file)), file
        calls = {ast.unparse(node.func) for node in ast.walk(tree_of(file)) if isinstance(node, ast.Call)}
        assert not {"torch.load", "torch.save", "yaml.unsafe_load", "eval", "exec"} & calls, file


def test_commands_print_through_one_function() -> None:
    """`show` makes visible what a terminal would obey. The pages of help and settings quote no file and no model."""
    for file in (SOURCE / "cli").glob("*.py"):
        calls = {ast.unparse(node.func) for node in ast.walk(tree_of(file)) if isinstance(node, ast.Call)}
        assert "print" not in calls or file.stem in ("words", "__init__", "help", "settings"), file


def test_no_two_classes_share_a_name() -> None:
    names = Counter(
        node.name for file in modules() for node in ast.walk(tree_of(file)) if isinstance(node, ast.ClassDef)
    )
    assert {name: count for name, count in names.items() if count > 1} == {}


def test_no_module_is_too_long() -> None:
    lengths = {str(file.relative_to(SOURCE)): len(file.read_text(encoding="utf-8").splitlines()) for file in modules()}
    assert {name: length for name, length in lengths.items() if length > LONGEST_MODULE} == {}


def words_of(file: Path) -> set[str]:
    """The words of a module's names, comments and docstrings, and of its other strings unless it is a test: those hold
    stories. N-grams are a word of the field.
    """
    text = file.read_text(encoding="utf-8")
    keep_strings = SOURCE in file.parents
    parts = [file.stem]
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in (tokenize.NAME, tokenize.COMMENT) or (keep_strings and token.type == tokenize.STRING):
            parts.append(token.string)
    for node in ast.walk(tree_of(file)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            parts.append(ast.get_docstring(node) or "")
    return {word.lower() for part in parts for word in re.findall(r"(?<![nN\d)]-)(?<!\d)[A-Z]?[a-z]+|[A-Z]+", part)}


@pytest.mark.parametrize("folder", ["src", "tests", "benchmarks", "tools", "website"])
def test_the_code_uses_the_fields_words(folder: str) -> None:
    names = {file: str(file.relative_to(ROOT)) for file in (ROOT / folder).rglob("*.py")}
    found = {(name, word) for file, name in names.items() for word in words_of(file) & PRIVATE_WORDS}
    wrong = {(name, word) for name, word in found - OLD_NAMES if name not in STORY_TEXT}
    assert not wrong, "\n".join(f"{name}: {word}" for name, word in sorted(wrong))


def test_the_import_rule_finds_imports_of_every_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.test_architecture.SOURCE", tmp_path)
    (tmp_path / "model").mkdir()
    file = tmp_path / "model" / "gpt.py"
    file.write_text(
        "def late():\n    from talewright import data\n    from ..train.loop import fit\nimport talewright.cli"
    )
    assert packages_imported(file) == {"data", "train", "cli"}


def test_the_word_rule_finds_words_in_names_comments_and_docstrings(tmp_path: Path) -> None:
    file = tmp_path / "shelf.py"
    file.write_text('def told_by(n):  # of wishes\n    """Many heights."""\n    return "it was taught", TellingRoom\n')
    assert words_of(file) & PRIVATE_WORDS == {"shelf", "told", "wishes", "heights", "telling"}


if __name__ == "__main__":
    print("graph LR\n" + "\n".join(f"    {importer} --> {imported}" for importer, imported in sorted(diagram_arrows())))
