"""GPT-2's vocabulary and merges (Radford et al. 2019): in a folder, the hub's cache, tiktoken's cache, or the hub."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from talewright.errors import UserError
from talewright.tokenizer.base import Merges, merges_of_json

PATIENCE = 5.0  # seconds to wait for the hub's first word
_GPT2_NAMES = ("gpt2", "openai-community/gpt2")

# What tiktoken fetches for GPT-2: address, of which it names its cached copy, and sha256.
_TIKTOKEN_URL = "https://openaipublic.blob.core.windows.net/gpt-2/encodings/main/"
_TIKTOKEN_FILES = {
    "vocab.json": ("encoder.json", "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783"),
    "merges.txt": ("vocab.bpe", "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5"),
}

Fetch = Callable[[str], Path | None]
"""The path of a file of that name, or None where there is none."""


def load_gpt2(source: str) -> Merges:
    """Vocabulary and merges of the source: a folder, or a model's name on the hub. Raises UserError where neither is.

    What lies on this machine is taken first, and the network asked last. From a folder or the hub, vocab.json with
    merges.txt is read, else tokenizer.json.
    """
    folder = Path(source).expanduser()
    if folder.is_dir():
        found = _read(lambda name: folder / name if (folder / name).is_file() else None)
        if found is None:
            raise UserError(f"tokenizer.source {source} holds neither vocab.json with merges.txt nor tokenizer.json")
        return found
    if folder.exists() or _looks_like_path(source):
        raise UserError(f"tokenizer.source {source} is no folder; one with vocab.json and merges.txt would do")
    found = _read(lambda name: _from_hub(source, name, local=True))
    if found is None and source in _GPT2_NAMES:
        found = _read(_from_tiktoken)
    return found or _download(source)


def _read(fetch: Fetch) -> Merges | None:
    vocab = fetch("vocab.json")
    merges = fetch("merges.txt") if vocab else None
    if vocab and merges:
        return Merges(_read_vocab(vocab), _read_merges(merges))
    whole = fetch("tokenizer.json")
    return _read_tokenizer_json(whole) if whole else None


def _looks_like_path(source: str) -> bool:
    return source.startswith(("/", ".", "~")) or "\\" in source or source.count("/") > 1


# --- files -------------------------------------------------------------------------------------------------------


def _read_vocab(path: Path) -> dict[str, int]:
    vocab = _read_json(path)
    if not isinstance(vocab, dict) or sorted(map(str, vocab.values())) != sorted(map(str, range(len(vocab)))):
        raise UserError(f"{path} is no vocabulary: a JSON object that numbers its tokens from 0 up")
    return vocab


def _read_merges(path: Path) -> list[tuple[str, str]]:
    merges = []
    for number, line in enumerate(_read_text(path).split("\n"), start=1):
        pair = line.split(" ")
        if line.startswith("#version") or pair == [""]:
            continue
        if len(pair) != 2:
            raise UserError(f"{path} line {number} is {line[:40]!r}; a merge is two tokens with a space between")
        merges.append((pair[0], pair[1]))
    return merges


def _read_tokenizer_json(path: Path) -> Merges:
    try:
        return merges_of_json(_read_json(path))
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def _read_json(path: Path) -> object:
    try:
        return json.loads(_read_text(path))
    except ValueError as error:
        raise UserError(f"{path} is not JSON: {error}") from None


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None


# --- caches and the hub ------------------------------------------------------------------------------------------


def _from_tiktoken(name: str) -> Path | None:
    """GPT-2's own file as tiktoken left it on this machine, where it did, and whole."""
    if name not in _TIKTOKEN_FILES:
        return None
    remote, sha256 = _TIKTOKEN_FILES[name]
    default = str(Path(tempfile.gettempdir()) / "data-gym-cache")
    folder = os.environ.get("TIKTOKEN_CACHE_DIR", os.environ.get("DATA_GYM_CACHE_DIR", default))
    path = Path(folder) / hashlib.sha1((_TIKTOKEN_URL + remote).encode()).hexdigest()
    try:
        whole = hashlib.sha256(path.read_bytes()).hexdigest() == sha256
    except OSError:
        return None
    return path if whole else None


def _from_hub(repo: str, name: str, local: bool = False) -> Path | None:
    """A file of the hub, or of its cache alone; None where the repository has none of that name."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(repo, name, local_files_only=local, etag_timeout=PATIENCE))
    except LocalEntryNotFoundError as error:
        if local:
            return None
        raise _unreachable(repo, error.__cause__ or error) from None
    except EntryNotFoundError:
        return None
    except Exception as error:  # no such repository, a name that can be none, whatever the hub's client throws
        raise _unreachable(repo, error) from None


def _download(repo: str) -> Merges:
    from huggingface_hub import constants, get_session

    try:  # the hub's own client would try again for 23 seconds before it gives up
        get_session().head(constants.ENDPOINT, timeout=PATIENCE)
    except Exception as error:  # of whichever client the hub uses
        raise _unreachable(repo, error) from None
    found = _read(lambda name: _from_hub(repo, name))
    if found is None:
        raise UserError(
            f"{repo} on {constants.ENDPOINT} holds neither vocab.json with merges.txt nor tokenizer.json; "
            "is tokenizer.source right?"
        )
    return found


def _unreachable(repo: str, error: BaseException) -> UserError:
    from huggingface_hub import constants
    from huggingface_hub.errors import RepositoryNotFoundError

    absent = isinstance(error, RepositoryNotFoundError)
    reason = "it has no such model" if absent else " ".join(str(error).split()).split(". ")[0][:200]
    return UserError(
        f"tokenizer.source {repo} is no folder here, and not to be had from {constants.ENDPOINT} ({reason}); "
        "name a folder that holds GPT-2's vocab.json and merges.txt with --tokenizer.source FOLDER"
    )
