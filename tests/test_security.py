"""Input from others is only data: nothing loads pickles, executes it, or writes outside the given folder."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import talewright
from tests.train.conftest import write_stories

SOURCE = Path(talewright.__file__).parent
MODULES = {"pickle", "cPickle", "marshal", "shelve", "dill", "joblib", "cloudpickle", "jsonpickle", "xmlrpc"}
CALLS = {"eval", "exec", "compile", "torch.load", "pd.read_pickle", "yaml.unsafe_load", "os.system"}


SWITCHES = {"allow_pickle", "shell", "trust_remote_code"}  # must not be True
OWN_CODE = {"export/readers/hf_remote.py": {"trust_remote_code"}}
"""The verification of an export reads back, in its own process, the code that the export has just written."""


def calls_and_imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(name.name.split(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
        elif isinstance(node, ast.Call):
            words = {keyword.arg for keyword in node.keywords if getattr(keyword.value, "value", None) is True}
            found.add(ast.unparse(node.func))
            found.update(word for word in words if word in SWITCHES)
    return found


def test_our_code_loads_no_pickle_and_executes_no_text():
    wrong = MODULES | CALLS | SWITCHES
    found = {str(path.relative_to(SOURCE)): calls_and_imports(path) & wrong for path in SOURCE.rglob("*.py")}
    assert len(found) > 40
    assert {name: calls for name, calls in found.items() if calls} == OWN_CODE
    assert calls_and_imports(Path(__file__)) & {"ast"}  # the search finds something


WATCHED = """
import json, os, sys
from pathlib import Path
seen = []
FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
def watch(event, arguments):
    if event in ("pickle.find_class", "os.system", "subprocess.Popen"):
        seen.append([event, str(arguments)])
    elif event == "open" and isinstance(arguments[0], (str, bytes)):
        mode, flags = arguments[1] or "", arguments[2] or 0
        if set(mode) & set("wax+") or flags & FLAGS:
            seen.append(["write", os.path.realpath(os.fsdecode(arguments[0]))])
    elif event in ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.symlink", "os.link", "os.truncate", "shutil.rmtree"):
        inside = event in ("os.remove", "os.rmdir") and arguments[1] >= 0  # in an open folder
        base = os.readlink(f"/proc/self/fd/{arguments[1]}") if inside else os.getcwd()
        for path in arguments[:2]:
            if isinstance(path, (str, bytes)):
                seen.append(["write", os.path.realpath(os.path.join(base, os.fsdecode(path)))])
sys.addaudithook(watch)
from talewright.cli import main
for words in json.loads(sys.argv[1]):
    try:
        main(words)
    except SystemExit as left:
        assert not left.code, (words, left.code)
sys.stdout.flush()
print("\\n" + json.dumps(seen))
"""  # noqa: E501


def test_a_run_loads_no_pickle_and_writes_only_to_its_folder_and_the_cache(tmp_path: Path):
    """Watched by Python's audit events, from preparation to a generated story."""
    write_stories(tmp_path / "stories.txt", 80)
    shape = ["--model.n-layers=1", "--model.n-heads=2", "--model.d-model=16", "--model.vocab-size=300"]
    shape += ["--model.context-length=32", "--train.micro-batch=4", "--train.evaluate-every=3", "--train.compile=false"]
    calls = [
        ["train", "--recipe", "quickstart", "--data", "stories.txt", "--out", "run", "--max-steps", "4", *shape],
        ["train", "--resume", "run", "--max-steps", "6"],
        ["generate", "run", "--prompt", "Once", "--max-new-tokens", "5"],
        ["evaluate", "run", "--json"],
        ["data", "tokenizer", "show", "run"],
    ]
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    environment = {
        **os.environ,
        **{"TALEWRIGHT_CACHE": str(tmp_path / "cache"), "TMPDIR": str(temporary), "MPLCONFIGDIR": str(temporary)},
        **{"PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1", "TORCHINDUCTOR_CACHE_DIR": str(temporary)},
    }
    command = [sys.executable, "-c", WATCHED, json.dumps(calls)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])
    allowed = [str(tmp_path / name) for name in ("run", "cache", "tmp")] + ["/dev/null"]
    writes = {path for event, path in seen if event == "write"}
    assert len(writes) > 30
    assert [path for path in sorted(writes) if not path.startswith(tuple(allowed))] == []
    assert [what for event, what in seen if event != "write" and "fc-list" not in what] == []  # matplotlib's fonts


@pytest.mark.parametrize("name", ["log.jsonl", "checkpoints", "recipe.yaml", "notes.txt"])
def test_a_run_folder_with_a_link_out_of_it_is_refused(name: str, tmp_path: Path):
    from talewright.errors import UserError
    from talewright.run import RunFolder

    run, mine = tmp_path / "run", tmp_path / "mine"
    run.mkdir()
    (run / "recipe.yaml").write_text("train: {max_steps: 1}")
    mine.write_text("train: {max_steps: 1}")
    (run / name).unlink(missing_ok=True)
    (run / name).symlink_to(mine)
    with pytest.raises(UserError, match=f"{name} is a link that leads out of"):
        RunFolder(run)
    assert mine.read_text() == "train: {max_steps: 1}"
