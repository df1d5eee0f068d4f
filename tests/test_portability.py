"""The whole program on other systems, which this one stands in for: see `systems.py`."""

from __future__ import annotations

import ast
import errno
import io
import json
import re
import sys
from pathlib import Path

import pytest

import talewright
from talewright.cli import main
from talewright.data.corpus import Corpus
from talewright.export.gguf import GGUF
from tests.systems import sync_no_folder
from tests.test_cli import SMALL, TRAIN, losses
from tests.train.conftest import write_stories

SOURCE = Path(talewright.__file__).parent


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test in its own folder, which holds a recipe and stories, with its own cache."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TALEWRIGHT_CACHE", str(tmp_path / "cache"))
    (tmp_path / "small.yaml").write_text(SMALL, encoding="utf-8")
    write_stories(tmp_path / "stories.txt", 120)


def test_the_whole_path_on_windows(windows: None, capsys: pytest.CaptureFixture[str]) -> None:
    main(TRAIN)
    main(["train", "--resume", "run", "--train.max-steps", "16"])
    assert len(losses(Path("run"))) == 16
    assert (Path("run") / "checkpoints" / "last").read_text() == "step-16\n"
    main(["doctor", "verify", "run"])
    capsys.readouterr()
    main(["generate", "run", "--prompt", "Lily had", "--max-new-tokens", "8", "--json"])
    assert json.loads(capsys.readouterr().out)[0]["text"].startswith("Lily had")
    main(["evaluate", "run", "--json"])
    assert json.loads(capsys.readouterr().out)["bits_per_byte"] > 0
    main(["inspect", "run"])
    assert (Path("run") / "report.html").stat().st_size > 10_000
    assert not [path for path in Path().rglob("*") if path.suffix in (".lock", ".part", ".partial", ".replaced")]


@pytest.mark.parametrize("format_", ["hf", "gguf"])
@pytest.mark.slow  # each is verified in a process of its own
def test_exports_on_windows_are_replaced(format_: str, windows: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GGUF, "reader_packages", ("absent",))  # then this process reads the file, by mapping it
    main(TRAIN)
    for _ in range(2):
        main(["export", "run", "out", "--to", format_, "--overwrite"])
    assert Path("out/talewright.json").is_file()
    assert sorted(path.name for path in Path().glob("*out*")) == ["out"]


def test_stories_are_prepared_on_windows_into_an_empty_folder(windows: None) -> None:
    Path("prepared").mkdir()
    for _ in range(2):
        main(["data", "prepare", "--recipe", "small.yaml", "--data", "stories.txt", "--out", "prepared"])
    assert Corpus.open(Path("prepared")).splits == ("train", "valid")
    assert not Path("prepared/staging").exists()


def test_training_saves_where_folders_cannot_be_synced(monkeypatch: pytest.MonkeyPatch) -> None:
    sync_no_folder(monkeypatch, errno.EINVAL)
    main([*TRAIN, "--train.max-steps", "4"])
    assert (Path("run") / "checkpoints" / "last").read_text() == "step-4\n"


def test_a_character_that_the_terminal_lacks_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    main([*TRAIN, "--train.max-steps", "1"])
    shown = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(shown, encoding="ascii"))
    main(["generate", "run", "--prompt", "Zoë saw 🐉 and", "--max-new-tokens", "4"])
    sys.stdout.flush()
    assert shown.getvalue().startswith(b"Zo? saw ? and")


# --- what no module may do -----------------------------------------------------------------------------------------

POSIX_ONLY = re.compile(
    r"os\.(sched_\w+|(get|set)(res)?[ug]id\w*|get(e[ug]id|pgid|pgrp|sid|loadavg)|setsid|pread|pwrite|fork(pty)?|killpg|"
    r"mkfifo|mknod|nice|sysconf|statvfs|uname|wait[34]?|l?chown|fchmod|fchown|posix_\w+|sendfile|register_at_fork)|"
    r"signal\.(SIG(HUP|USR1|USR2|KILL|ALRM|CHLD|PIPE|STOP)|alarm|pause|sigwait|setitimer)"
)
MODULES = {"fcntl", "resource", "pwd", "grp", "termios", "pty", "tty", "posix", "multiprocessing"}
"""Those of POSIX, and the processes that are forked there and started anew elsewhere."""


def guards(node: ast.AST) -> bool:
    """Whether a branch depends on what the system has, or an error is caught."""
    if isinstance(node, (ast.If, ast.IfExp)):
        return "hasattr" in ast.unparse(node.test)
    if isinstance(node, ast.Try):
        return any("ImportError" in ast.unparse(each.type) for each in node.handlers if each.type is not None)
    if isinstance(node, ast.With):
        return any("suppress(AttributeError" in ast.unparse(item.context_expr) for item in node.items)
    if isinstance(node, ast.FunctionDef):  # if not hasattr(...): return
        return any(isinstance(each, ast.If) and "not hasattr" in ast.unparse(each.test) for each in node.body)
    return False


def unguarded(node: ast.AST) -> list[str]:
    """Names of POSIX, used where no system without them would be noticed."""
    if guards(node):
        return []
    found = []
    if isinstance(node, ast.Attribute) and POSIX_ONLY.fullmatch(ast.unparse(node)):
        found = [ast.unparse(node)]
    elif isinstance(node, ast.Import):
        found = [alias.name for alias in node.names if alias.name.split(".")[0] in MODULES]
    elif isinstance(node, ast.ImportFrom) and node.module:
        names = {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        found = [name for name in names if name.split(".")[0] in MODULES or POSIX_ONLY.fullmatch(name)]
    return found + [name for child in ast.iter_child_nodes(node) for name in unguarded(child)]


def unclear_text(node: ast.AST) -> bool:
    """Whether a call reads or writes text in the encoding, or the line ends, of the system."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, (ast.Attribute, ast.Name)):
        return False
    name = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id
    words = {keyword.arg for keyword in node.keywords}
    modes = [each.value for each in node.args if isinstance(each, ast.Constant)]
    if name in ("read_text", "write_text") and isinstance(node.func, ast.Attribute):
        encoded = "encoding" in words or any("utf" in str(mode) for mode in modes)
        return not encoded or (name == "write_text" and "newline" not in words)
    if name in ("run", "Popen") and "subprocess" in ast.unparse(node.func):
        return "text" in words
    if name != "open" or not (isinstance(node.func, ast.Name) or not node.args or is_mode(node.args[0])):
        return False
    mode = next((arg.value for arg in node.args if is_mode(arg)), "r")  # pyright: ignore[reportAttributeAccessIssue]
    wanted = {"encoding"} if "r" in mode else {"encoding", "newline"}
    return "b" not in mode and not wanted <= words


def is_mode(argument: ast.AST) -> bool:
    return (
        isinstance(argument, ast.Constant) and isinstance(argument.value, str) and set(argument.value) <= {*"rwxab+t"}
    )


def test_no_module_needs_what_only_linux_and_macos_have() -> None:
    found = {str(path.relative_to(SOURCE)): unguarded(_parsed(path)) for path in SOURCE.rglob("*.py")}
    assert {name: names for name, names in found.items() if names} == {}


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("import os\nos.fork()", ["os.fork"]),
        ("def f():\n    import fcntl", ["fcntl"]),
        ("from signal import SIGHUP", ["signal.SIGHUP"]),
        ("from multiprocessing import Pool", ["multiprocessing", "multiprocessing.Pool"]),
        ("if hasattr(os, 'fork'):\n    os.fork()", []),
        ("try:\n    import fcntl\nexcept ImportError:\n    pass", []),
    ],
)
def test_the_search_finds_it(code: str, expected: list[str]) -> None:
    assert sorted(unguarded(ast.parse(code))) == expected


def test_text_has_one_encoding_and_one_end_of_line_everywhere() -> None:
    found = [
        f"{path.relative_to(SOURCE)}, line {node.lineno}: {ast.unparse(node)}"
        for path in SOURCE.rglob("*.py")
        for node in ast.walk(_parsed(path))
        if isinstance(node, ast.Call) and unclear_text(node)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("path.read_text()", True),
        ("path.read_text(encoding='utf-8')", False),
        ("path.write_text(text, encoding='utf-8')", True),
        ("path.open()", True),
        ("path.open('rb')", False),
        ("open(path, 'w')", True),
        ("subprocess.run(command, text=True)", True),
    ],
)
def test_the_search_for_text_finds_it(code: str, expected: bool) -> None:
    assert unclear_text(ast.parse(code, mode="eval").body) is expected


def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))
