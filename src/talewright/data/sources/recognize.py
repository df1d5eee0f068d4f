"""Recognition of a file's format: by the ending of its name and by a sample of its contents."""

from __future__ import annotations

import io
import shlex
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import PurePosixPath

from talewright.config import EOT, DataConfig
from talewright.data.sources.compression import COMPRESSED, ByteStream, damage_errors, decompress
from talewright.data.sources.encoding import refuse_wide
from talewright.data.sources.file_format import FileFormat, RecognizedFile, separator_form
from talewright.data.sources.recognize_tables import (
    is_csv,
    is_json,
    recognize_csv,
    recognize_json,
    recognize_parquet,
)
from talewright.data.sources.recognize_text import FEWEST, RecognizedText, recognize_text
from talewright.data.sources.text_stories import separator_pattern
from talewright.errors import UserError

SAMPLE_BYTES = 4 << 20
"""Decompressed bytes that a file is recognized by."""
TEXT = "text"
ENDINGS = {
    **{"txt": TEXT, "text": TEXT, "jsonl": "jsonl", "ndjson": "jsonl", "json": "json"},
    **{"csv": "csv", "tsv": "csv", "parquet": "parquet"},
}
"""Formats by the ending of a name."""
OPTIONS = "--format, --separator change this"


def ending_of(name: str) -> str:
    """The ending of a name without that of its compression, such as `txt`; "" if it has none."""
    path = PurePosixPath(name.lower())
    if path.suffix in COMPRESSED:
        path = path.with_suffix("")
    return path.suffix[1:]


def is_story_file(name: str) -> bool:
    """Whether a file is read as stories if its folder is: its name has a known ending."""
    return ending_of(name) in ENDINGS


def recognize(
    name: str,
    open_file: Callable[[], ByteStream],
    config: DataConfig,
    sample_bytes: int = SAMPLE_BYTES,
    size: int | None = None,
    fewest: int = FEWEST,
) -> RecognizedFile:
    """How a file holds its stories. `size` are the bytes of the file, if they are known, to estimate its stories.

    `config.format` and `config.separator` are followed where they are set. Raises UserError if the file has an unknown
    ending and is no text; damage is left to the reader to report.
    """
    kind = config.format if config.format != "auto" else ENDINGS.get(ending_of(name))
    if kind == "parquet":
        return recognize_parquet(name, open_file, config.text_key)
    data, complete = _sample(name, open_file, sample_bytes)
    if data.startswith(b"PAR1") and config.format == "auto":
        return recognize_parquet(name, open_file, config.text_key)
    refuse_wide(name, data)
    if kind is None and b"\0" in data:
        raise UserError(
            f"{name} has an unknown format and is not text; .txt, .csv, .tsv, .json, .jsonl and .parquet are read, "
            f"each also as {' or '.join(COMPRESSED)}; --format names the format of a file with another ending"
        )
    sample = io.IncrementalNewlineDecoder(None, translate=True).decode(data.decode("utf-8-sig", "replace"), final=True)
    actual = _table_of_other_name(sample, kind, config)
    if actual:
        found = _recognize_table(name, sample, actual, config)
        said = f"{name}: read as {'CSV' if actual == 'csv' else 'JSON'}, because it contains that"
        return found._replace(message=said + found.message.removeprefix(name).replace(":", ";", 1))
    if kind in ("csv", "json", "jsonl"):
        return _with_unused_separator(name, config, _recognize_table(name, sample, kind, config))
    if form := _given_form(config, sample):
        sentence = _given_sentence(form, sample, complete)
        return RecognizedFile(form, sentence and f"{name}: {sentence}")
    found, other = recognize_text(sample, complete, fewest)
    scale = 1.0 if complete else size / len(data) if size else 0.0
    return RecognizedFile(found.form, f"{name}: {_sentence(found, other, scale)}")


def _table_of_other_name(sample: str, kind: str | None, config: DataConfig) -> str | None:
    """csv or jsonl, if a file whose name says something else (or nothing) is that; None if it is as its name says."""
    if config.format != "auto" or config.separator not in (None, EOT) or kind not in (None, TEXT, "csv"):
        return None
    bare = sample.lstrip("\ufeff \t\n")
    if is_json(bare, config.text_key):
        return "jsonl"
    return "csv" if kind != "csv" and is_csv(bare, config.text_key) else None


def _recognize_table(name: str, sample: str, kind: str, config: DataConfig) -> RecognizedFile:
    if kind == "csv":
        return recognize_csv(name, sample, config.text_key, tabs=ending_of(name) == "tsv")
    return recognize_json(name, sample, config.text_key, kind, given=config.format != "auto")


def _with_unused_separator(name: str, config: DataConfig, found: RecognizedFile) -> RecognizedFile:
    if config.separator in (None, EOT):  # which recipes of earlier versions have
        return found
    unused = "--separator is for text files and has no effect here"
    return found._replace(message=f"{found.message}; {unused}" if found.message else f"{name}: {unused}")


def count_text(count: int, scale: float) -> str:
    """A number of stories: exact for a scale of 1, or estimated from a sample of one part in `scale` (0: unknown)."""
    if scale == 1:
        return f"{count:,}"
    return f"about {round(count * scale, 1 - len(str(int(count * scale)))):,.0f}" if scale else f"more than {count:,}"


def _sentence(found: RecognizedText, other: RecognizedText | None, scale: float) -> str:
    sentence = found.form.describe(count_text(found.stories, scale))
    if other is None:
        return f"{sentence} ({OPTIONS})"
    kind, separator = other.form.kind, shlex.quote(other.form.separator)
    instead = "as one story per line" if kind == "lines" else "as " + other.form.describe()
    option = f"--separator={separator}" if kind == "separator" else f"--format {kind}"
    return f"{sentence}; {instead}, it would be {count_text(other.stories, scale)}: {option} ({OPTIONS})"


def _given_form(config: DataConfig, sample: str) -> FileFormat | None:
    """The format of a text file that the settings name; None if it is to be recognized."""
    given = None if config.separator is None else separator_form(config.separator)
    if config.format in ("lines", "text", "blank-lines"):
        if given and given.kind == config.format:
            return given
        if given and config.separator != EOT:  # which recipes of earlier versions have
            raise UserError(f"--format {config.format} takes no --separator; leave one of the two out")
        return FileFormat(config.format)
    if given and given.kind == "separator":
        alone = separator_pattern(given).search(sample)
        return given if alone or given.separator not in sample else replace(given, inside=True)
    if given is None and config.format == "separator":
        found = recognize_text(sample, True)[0].form
        return found if found.kind == "separator" else FileFormat("separator", EOT)
    return given


def _given_sentence(form: FileFormat, sample: str, complete: bool) -> str:
    """What is surprising of a given format; "" if nothing is."""
    if form.kind != "separator" or not sample.strip():
        return ""
    if form.inside:
        return f"{form.describe()}, because no line holds it alone"
    if separator_pattern(form).search(sample):
        return ""
    where = "the file" if complete else "its beginning"
    return (
        f"no line {form.separator} in {where}, so it is one story; without --separator, {where} is examined for others"
    )


def _sample(name: str, open_file: Callable[[], ByteStream], sample_bytes: int) -> tuple[bytes, bool]:
    """The first bytes of a file, decompressed, and whether they are all."""
    chunks, left = [], sample_bytes + 1
    with closing(decompress(open_file(), name)) as stream, suppress(UserError), damage_errors(name):
        while left > 0 and (chunk := stream.read(left)):
            chunks.append(chunk)
            left -= len(chunk)
    data = b"".join(chunks)
    return data[:sample_bytes], len(data) <= sample_bytes
