"""GPT-2's vocabulary and merges (Radford et al. 2019), from a folder, the hub's cache, tiktoken's cache, or the hub."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from talewright.errors import UserError
from talewright.files import expand_home, sha256_file
from talewright.tokenizer.base import Merges, merges_of_json, read_text

TIMEOUT = 5.0
"""Seconds that the hub has for its first answer."""
_GPT2_NAMES = ("gpt2", "openai-community/gpt2")

# What tiktoken downloads for GPT-2: the address, whose hash names the cached copy, and the file's SHA-256.
_TIKTOKEN_URL = "https://openaipublic.blob.core.windows.net/gpt-2/encodings/main/"
_TIKTOKEN_FILES = {
    "vocab.json": ("encoder.json", "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783"),
    "merges.txt": ("vocab.bpe", "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5"),
}


def load_gpt2(source: str) -> Merges:
    """Vocabulary and merges of a source: a folder, or a model's name on the hub. Raises UserError if it is neither.

    Files on this machine are used first, the network last. Read are vocab.json and merges.txt, or else tokenizer.json.
    """
    folder = expand_home(source)
    if folder.is_dir():
        found = _read(lambda name: folder / name if (folder / name).is_file() else None)
        if found is None:
            raise UserError(f"tokenizer.source {source} holds neither vocab.json with merges.txt nor tokenizer.json")
        return found
    looks_like_path = source.startswith(("/", ".", "~")) or "\\" in source or source.count("/") > 1
    if folder.exists() or looks_like_path:
        raise UserError(f"tokenizer.source {source} is not a folder; name one with vocab.json and merges.txt")
    found = _read(lambda name: _from_hub(source, name, local=True))
    if found is None and source in _GPT2_NAMES:
        found = _read(_from_tiktoken)
    return found or _download(source)


def _read(find: Callable[[str], Path | None]) -> Merges | None:
    """Read the files that `find` gives for a name; None if they do not exist."""
    vocab = find("vocab.json")
    merges = find("merges.txt") if vocab else None
    if vocab and merges:
        return Merges(_read_vocab(vocab), _read_merges(merges))
    whole = find("tokenizer.json")
    if whole is None:
        return None
    value = _read_json(whole)
    try:
        return merges_of_json(value)
    except UserError as error:
        raise UserError(f"{whole}: {error}") from None


# --- files -------------------------------------------------------------------------------------------------------


def _read_vocab(path: Path) -> dict[str, int]:
    vocab = _read_json(path)
    if not isinstance(vocab, dict) or sorted(map(str, vocab.values())) != sorted(map(str, range(len(vocab)))):
        raise UserError(f"{path} is not a vocabulary: a JSON object that numbers its tokens from 0 up")
    return vocab


def _read_merges(path: Path) -> list[tuple[str, str]]:
    merges = []
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        pair = line.split(" ")
        if line.startswith("#version") or pair == [""]:
            continue
        if len(pair) != 2:
            raise UserError(f"{path} line {number} is {line[:40]!r}; a merge is two tokens with a space between")
        merges.append((pair[0], pair[1]))
    return merges


def _read_json(path: Path) -> object:
    text = read_text(path)
    try:
        return json.loads(text)
    except ValueError as error:
        raise UserError(f"{path} is not JSON: {error}") from None


# --- caches and the hub ------------------------------------------------------------------------------------------


def _from_tiktoken(name: str) -> Path | None:
    """GPT-2's own file in tiktoken's cache, if it is there and undamaged."""
    if name not in _TIKTOKEN_FILES:
        return None
    remote, sha256 = _TIKTOKEN_FILES[name]
    default = str(Path(tempfile.gettempdir()) / "data-gym-cache")
    folder = os.environ.get("TIKTOKEN_CACHE_DIR", os.environ.get("DATA_GYM_CACHE_DIR", default))
    path = Path(folder) / hashlib.sha1((_TIKTOKEN_URL + remote).encode()).hexdigest()
    try:
        return path if sha256_file(path) == sha256 else None
    except OSError:
        return None


def _from_hub(repo: str, name: str, local: bool = False) -> Path | None:
    """A file from the hub, or only from its cache; None if the repository does not have it."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(repo, name, local_files_only=local, etag_timeout=TIMEOUT))
    except LocalEntryNotFoundError as error:
        if local:
            return None
        raise _unavailable(repo, error.__cause__ or error) from None
    except EntryNotFoundError:
        return None
    except Exception as error:  # no such repository, an impossible name, or anything else that the client raises
        raise _unavailable(repo, error) from None


def _download(repo: str) -> Merges:
    from huggingface_hub import constants, get_session

    try:  # the hub's own client would retry for 23 seconds
        get_session().head(constants.ENDPOINT, timeout=TIMEOUT)
    except Exception as error:  # of whichever HTTP client the hub uses
        raise _unavailable(repo, error) from None
    found = _read(lambda name: _from_hub(repo, name))
    if found is None:
        raise UserError(
            f"{repo} on {constants.ENDPOINT} holds neither vocab.json with merges.txt nor tokenizer.json; "
            "is tokenizer.source right?"
        )
    return found


def _unavailable(repo: str, error: BaseException) -> UserError:
    from huggingface_hub import constants
    from huggingface_hub.errors import RepositoryNotFoundError

    missing = isinstance(error, RepositoryNotFoundError)
    reason = "no such model" if missing else " ".join(str(error).split()).split(". ")[0][:200]
    return UserError(
        f"tokenizer.source {repo} is not a folder here, and not available from {constants.ENDPOINT} ({reason}); "
        "name a folder that holds GPT-2's vocab.json and merges.txt with --tokenizer.source FOLDER"
    )
