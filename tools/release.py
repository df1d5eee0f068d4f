"""Check a release: its archives, the time of an import, and the wheel with old and new dependencies on each Python.

    make release-check

The wheel is installed beside the lowest versions that pyproject.toml allows and beside the newest, in a new environment
for each Python that is found. There it must print its version, write a story with the included model, train for three
steps and draw the curves. Only wheels are installed: a version of a dependency that has none for a Python is not tried
with it. For each extra, versions that fit together must exist, by the metadata alone. Results: build/release.md.

uv's settings apply: on Linux without an NVIDIA GPU, a UV_INDEX with the CPU builds of torch saves some GB per cell.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
RESOLUTIONS = ("lowest-direct", "highest")
WHEEL_LIMIT = 8.0
"""MB. The code, the included model and the page's chart library have 3.9."""
IMPORT_LIMIT = 0.5
"""CPU seconds of `import talewright`. It takes 0.02 to 0.04; an import of torch, some seconds."""
TRIES = (
    "--version",
    "generate --prompt Once --max-new-tokens 30",
    "train --recipe quickstart --train.micro-batch 1 --max-steps 3 --limit 300 --out run",
    "inspect run --only curves",
)
WRITTEN = ("run/log.jsonl", "run/plots/training_curves.png", "run/report.html")
UV = (sys.executable, "-m", "uv")


@dataclass(frozen=True)
class Cell:
    """One Python with one choice of versions: the versions installed, or why it failed or was not tried."""

    python: str
    resolution: str
    outcome: str
    versions: str = ""

    @property
    def failed(self) -> bool:
        return self.outcome.startswith("failed")


def main() -> None:
    """Build, check, install and try; exit with 1 if anything fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("build"), help="folder for dist/ and release.md")
    parser.add_argument("--pythons", nargs="+", default=PYTHONS, help="versions to try, where they are found")
    parser.add_argument("--resolutions", nargs="+", default=RESOLUTIONS, choices=RESOLUTIONS)
    options = parser.parse_args()
    source, wheel = build(options.out / "dist")
    problems = archive_problems(source, wheel)
    seconds = import_seconds()
    if seconds > IMPORT_LIMIT:
        problems.append(f"import talewright takes {seconds:.2f} s; the limit is {IMPORT_LIMIT}")
    problems += [f for p in options.pythons for r in options.resolutions for f in unresolved(p, r)]
    for problem in problems:
        print(f"release: {problem}", file=sys.stderr)
    size = f"{wheel.name}: {wheel.stat().st_size / 1e6:.2f} MB. `import talewright`: {seconds:.2f} CPU seconds."
    print(size)
    cells = []
    for python in options.pythons:
        for resolution in options.resolutions:
            cells.append(try_wheel(wheel, python, resolution))
            print(row(cells[-1]), flush=True)
    (options.out / "release.md").write_text(report(size, problems, cells), encoding="utf-8")
    tried = any(cell.outcome == "passed" for cell in cells)
    sys.exit(bool(problems) or not tried or any(cell.failed for cell in cells))


def build(dist: Path) -> tuple[Path, Path]:
    """The source archive, and the wheel that is built from it; both with metadata that a package index accepts."""
    shutil.rmtree(dist, ignore_errors=True)
    run(sys.executable, "-m", "build", "--quiet", "--outdir", str(dist), str(ROOT))
    run(sys.executable, "-m", "twine", "check", "--strict", *map(str, sorted(dist.iterdir())))
    (source,), (wheel,) = dist.glob("*.tar.gz"), dist.glob("*.whl")
    return source, wheel


def run(*command: str) -> None:
    """Run a command that must succeed."""
    if subprocess.run(command, check=False).returncode:
        sys.exit(f"release: {' '.join(command)} failed")


def archive_problems(source: Path, wheel: Path) -> list[str]:
    """Files that are missing in the two archives or too many there, and a wheel that is too large."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    tracked = [name for name in listed.stdout.split("\0") if name and not name.startswith(".")]
    with tarfile.open(source) as archive:
        members = [member.name.partition("/")[2] for member in archive.getmembers() if not member.isdir()]
    problems = differences(source.name, tracked, members)
    with zipfile.ZipFile(wheel) as archive:
        members = [name for name in archive.namelist() if ".dist-info/" not in name]
    package = [name.removeprefix("src/") for name in tracked if name.startswith("src/")]
    problems += differences(wheel.name, package, members)
    if wheel.stat().st_size > WHEEL_LIMIT * 1e6:
        problems.append(f"{wheel.name} has {wheel.stat().st_size / 1e6:.2f} MB; the limit is {WHEEL_LIMIT}")
    return problems


def differences(archive: str, tracked: Iterable[str], members: Iterable[str]) -> list[str]:
    """The tracked files that an archive lacks, and its members that are not tracked."""
    expected = set(tracked)
    found = {name for name in members if name != "PKG-INFO" and not name.startswith(".")}
    lacking = [f"{archive} lacks {name}" for name in sorted(expected - found)]
    return lacking + [f"{archive} has {name}, which git does not track" for name in sorted(found - expected)]


def import_seconds() -> float:
    """Median CPU seconds of `import talewright` beyond those of an empty program, of five tries."""

    def once(code: str) -> float:
        before = os.times()
        subprocess.run([sys.executable, "-c", code], check=True)
        after = os.times()
        return after.children_user + after.children_system - before.children_user - before.children_system

    return statistics.median(once("import talewright") - once("pass") for _ in range(5))


def unresolved(python: str, resolution: str) -> list[str]:
    """The extras that no versions satisfy on this Python, each with the reason. Nothing is installed."""
    found = []
    for extra in project()["optional-dependencies"]:
        command = [*UV, "pip", "compile", "-q", str(ROOT / "pyproject.toml"), "--extra", extra]
        command += ["--python-version", python, "--resolution", resolution]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            found.append(f"[{extra}] with Python {python}, {resolution}: {' '.join(done.stderr.split())}")
    return found


def try_wheel(wheel: Path, python: str, resolution: str) -> Cell:
    """Install the wheel into a new environment and use it."""
    interpreter = find_python(python)
    if interpreter is None:
        return Cell(python, resolution, "not tried: this Python was not found")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        venv = folder / "venv"
        inside = str(venv / "bin" / "python")
        install = [*UV, "pip", "install", "-q", "--only-binary", ":all:", "--python", inside]
        install += ["--resolution", resolution, *requirements(), str(wheel.resolve())]
        steps = [[*UV, "venv", "-q", "--python", interpreter, str(venv)], install]
        steps += [[str(venv / "bin" / "talewright"), *words.split()] for words in TRIES]
        outputs = []
        for step in steps:
            done = subprocess.run(step, cwd=folder, env=environment(), capture_output=True, text=True, check=False)
            if done.returncode:
                return Cell(python, resolution, failure(step, done.stderr))
            outputs.append(done.stdout)
        code = f"from importlib.metadata import version\nfor n in {names(requirements())}: print(n, version(n))"
        listed = subprocess.run([inside, "-c", code], capture_output=True, text=True, check=True).stdout
        missing = [path for path in WRITTEN if not (folder / path).is_file()]
    versions = ", ".join(listed.splitlines())
    return Cell(python, resolution, outcome(outputs[2:4], wheel.name.split("-")[1], missing), versions)


def find_python(version: str) -> str | None:
    """A Python of this version: on the PATH, of uv, or of pyenv, whose commands may be inactive."""
    folders = [*map(str, (Path.home() / ".pyenv" / "versions").glob("*/bin")), os.environ.get("PATH", "")]
    command = [*UV, "python", "find", "--no-python-downloads", "--system", version]
    variables = {**os.environ, "PATH": os.pathsep.join(folders)}
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    return done.stdout.strip() or None


def requirements() -> list[str]:
    """What pyproject.toml requires. They are installed by name, since `lowest-direct` lowers only what is named."""
    return project()["dependencies"]


def project() -> dict[str, Any]:
    """The table `project` of pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def names(wanted: Iterable[str]) -> list[str]:
    """The names of requirements, such as numpy of `numpy>=1.26`."""
    return [requirement.partition(">=")[0] for requirement in wanted]


def environment() -> dict[str, str]:
    """The variables without those that would import the sources in place of the wheel."""
    hidden = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    return {name: value for name, value in os.environ.items() if name not in hidden}


def outcome(outputs: list[str], version: str, missing: list[str]) -> str:
    """`passed`, or what is wrong with what the commands wrote: the version, the story, and the files."""
    printed, story = outputs
    if version not in printed.split():
        return f"failed: --version printed {printed.strip()!r}, not {version}"
    if len(story.split()) < 10:
        return f"failed: the story is {story.strip()!r}"
    return f"failed: no {', '.join(missing)}" if missing else "passed"


def failure(step: list[str], printed: str) -> str:
    """The command that failed, and the last line that it printed."""
    line = (printed.strip().splitlines() or ["it printed nothing"])[-1]
    return f"failed: {Path(step[0]).name} {' '.join(step[1:5])}: {line}"


def row(cell: Cell) -> str:
    """A cell as a row of the table."""
    return f"| {cell.python} | {cell.resolution} | {cell.outcome.replace('|', ' ')} | {cell.versions} |"


def report(size: str, problems: list[str], cells: list[Cell]) -> str:
    """The results as Markdown."""
    lines = [size, "", *(f"- {problem}" for problem in problems), *([""] if problems else [])]
    lines += ["| Python | versions | result | installed |", "|---|---|---|---|", *map(row, cells)]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
