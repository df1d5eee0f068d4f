"""The making of a corpus: stories are read and cleaned, assigned to splits, and tokenized into shards."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import logging
import shutil
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from talewright.data import layout
from talewright.data.layout import FLAWS, FORMAT, MANIFEST, SPLITS, VERSION, SplitName, split_files, token_dtype
from talewright.data.preparation.disk_space import (
    bytes_for_input,
    bytes_for_tokens,
    disk_full,
    is_full,
    require_space,
)
from talewright.data.preparation.progress import StageProgress
from talewright.data.preparation.request import PreparationRequest, first_difference
from talewright.data.preparation.shards import ShardWriter
from talewright.data.preparation.split import SplitStories, split_stories
from talewright.data.preparation.staging import StagedCounts, StagedStories, StagingWriter
from talewright.data.preparation.tokenize import tokenize_stories
from talewright.data.sources import InterruptedSourceError, SplitInput, open_splits
from talewright.data.sources.file_format import FileFormat
from talewright.errors import UserError
from talewright.files import (
    atomic_folder,
    folder_size,
    publish_folder,
    read_json,
    reject_outside_links,
    sha256_file,
    write_json,
    write_text_atomic,
)
from talewright.tokenizer import Tokenizer, make_tokenizer
from talewright.version import __version__

logger = logging.getLogger(__name__)

SAVE_SECONDS = 5.0
"""At least so long between two saves of the progress, which wait for the disk."""
BPE_TRAINING_BYTES = 128 << 20
"""Of text, at most about; the memory of BPE training grows with the number of different words."""
_FEW_VALID = 10
"""Fewer validation stories are warned of."""
_UPDATE = 512  # stories between two updates of the progress display
_PROGRESS = "progress.json"
_STAGING = "staging"
_T = TypeVar("_T")


class CorpusBuilder:
    """Makes one corpus in a folder beside its target, which then takes the target's name.

    What an interrupted build has finished is kept: source files that were read whole, and the tokenizer.
    """

    def __init__(self, request: PreparationRequest, target: Path, show_progress: bool) -> None:
        self.request, self.target, self.show_progress = request, target, show_progress
        self.folder = target.with_name(target.name + ".partial")
        self.staging = self.folder / _STAGING
        self.needed = 0
        """Estimated bytes of the folder when it is largest; 0 until it is known."""
        self._start_over()

    def build(self) -> None:
        """Do what is left to do, and move the folder to its target. If the disk is full, nothing is left of it."""
        if self.folder.exists():
            names = {path.name for path in self.folder.iterdir()}
            if names and not names & {_STAGING, _PROGRESS, MANIFEST}:
                raise UserError(f"{self.folder} is needed to prepare {self.target}, but holds something else; move it")
            reject_outside_links(self.folder)
        try:
            manifest = read_json(self.folder / MANIFEST)
            if not isinstance(manifest, dict) or manifest.get("request") != self.request.values:
                self._make()
            self._remove_working_files()
            publish_folder(self.folder, self.target)
        except OSError as error:
            if not is_full(error):
                raise
            shutil.rmtree(self.folder, ignore_errors=True)
            raise disk_full(self.target, self.needed) from None

    def _make(self) -> None:
        gpt2 = self._load_gpt2()
        self._load_progress()
        if not self.read_all:
            inputs, versions = open_splits(self.request.data)
            if versions != self.versions:
                shutil.rmtree(self.folder, ignore_errors=True)
                self._start_over()
            self.versions = versions
            self._require_space(bytes_for_input(inputs.values()))
            self._read(inputs)
        staged: dict[SplitName, StagedStories] = {
            name: StagedStories(self.staging, name, counts) for name, counts in self.counts.items()
        }
        by_position = any(form.kind == "text" for form, _ in self.recognized.get("train", ()))
        splits, duplicates = split_stories(self.request.data, staged, by_position)
        if "train" not in splits:
            self._refuse_empty(duplicates["train"])
        if 0 < (valid := len(splits.get("valid", ()))) < _FEW_VALID:
            logger.warning(
                "%s for validation: too few to measure small differences; --valid FILE names more",
                "only 1 story is" if valid == 1 else f"only {valid} stories are",
            )
        tokenizer = self._make_tokenizer(splits["train"], gpt2)
        width = token_dtype(tokenizer.vocab_size).itemsize
        shards = sum(bytes_for_tokens(stories.n_bytes, len(stories), width) for stories in splits.values())
        self._require_space(folder_size(self.staging) + shards)
        entries: dict[SplitName, Any] = {
            split: self._tokenize(tokenizer, split, stories) for split, stories in splits.items()
        }
        self._write_manifest(tokenizer, staged, entries, duplicates)

    # --- progress, kept on disk ------------------------------------------------------------------------------------

    def _start_over(self) -> None:
        self.versions: list[str] | None = None
        """Of the sources that are being read."""
        self.counts: dict[SplitName, StagedCounts] = {}
        """What is staged of each input, in whole source files."""
        self.recognized: dict[SplitName, list[tuple[FileFormat, int]]] = {}
        """The formats of the files that are staged of each input, and how many consecutive files have each."""
        self.read_all = False

    def _load_progress(self) -> None:
        saved = read_json(self.folder / _PROGRESS)
        if not isinstance(saved, dict) or saved.get("request") != self.request.values:
            return
        with contextlib.suppress(KeyError, TypeError, AttributeError):  # of another version: start over
            counts = {name: StagedCounts(**values) for name, values in saved["counts"].items()}
            numbers = [number for some in counts.values() for number in vars(some).values()]
            if {*counts} <= {*SPLITS} and all(type(number) is int and number >= 0 for number in numbers):
                recognized = {
                    name: [(FileFormat(**form), count) for form, count in some]
                    for name, some in saved["recognized"].items()
                }
                self.counts, self.versions, self.recognized = counts, saved["versions"], recognized
                self.read_all = saved["read_all"] is True and "train" in counts

    def _save_progress(self) -> None:
        counts = {name: asdict(some) for name, some in self.counts.items()}
        values = {"request": self.request.values, "versions": self.versions, "counts": counts}
        recognized = {name: [(form.values(), n) for form, n in some] for name, some in self.recognized.items()}
        write_json(self.folder / _PROGRESS, values | {"recognized": recognized, "read_all": self.read_all})

    def _require_space(self, needed: int) -> None:
        self.needed = needed
        require_space(self.folder, needed - folder_size(self.folder))

    # --- stages ----------------------------------------------------------------------------------------------------

    def _read(self, inputs: dict[SplitName, SplitInput]) -> None:
        """Stage all stories of the inputs. If the stories themselves are refused, nothing is kept."""
        self.staging.mkdir(parents=True, exist_ok=True)
        self._save_progress()
        try:
            with self._stage("reading", "stories") as progress:
                progress.advance(sum(counts.read for counts in self.counts.values()))
                for name, some in inputs.items():
                    self._read_input(name, some, progress)
            now = dataclasses.replace(self.request).values  # computed again
            if now != self.request.values:
                difference = first_difference(self.request.values, now)
                raise UserError(f"a source changed while it was read: {difference}; prepare again")
        except UserError as error:
            if not isinstance(error, InterruptedSourceError):
                shutil.rmtree(self.folder)
            raise
        self.read_all = True
        self._save_progress()

    def _read_input(self, name: SplitName, stories: SplitInput, progress: StageProgress) -> None:
        counts = dataclasses.replace(self.counts.setdefault(name, StagedCounts()))
        saved = time.monotonic()
        with contextlib.closing(StagingWriter(self.staging, name, counts, self.request.data)) as writer:
            try:
                for file in stories.files[counts.files :]:
                    if stories.limit is not None and counts.read >= stories.limit:
                        break
                    left = None if stories.limit is None else stories.limit - counts.read
                    for record in _counted(islice(file.read(), left), progress):
                        writer.add(record)
                    writer.flush()
                    counts.files += 1
                    self.counts[name] = dataclasses.replace(counts)
                    self._add_recognized(name, file.form())
                    if time.monotonic() - saved >= SAVE_SECONDS:
                        writer.sync()
                        self._save_progress()
                        saved = time.monotonic()
            finally:
                writer.sync()
                self._save_progress()

    def _add_recognized(self, name: SplitName, form: FileFormat | None) -> None:
        if form is not None:
            formats = self.recognized.setdefault(name, [])
            count = formats.pop()[1] if formats and formats[-1][0] == form else 0
            formats.append((form, count + 1))

    def _refuse_empty(self, duplicates: int) -> None:
        counts = self.counts["train"]
        shutil.rmtree(self.folder)
        if not counts.read:
            raise UserError(f"{self.request.data.source} is empty; training needs stories")
        raise UserError(
            f"{self.request.data.source} has no training stories: {counts.read:,} read, {counts.empty:,} of them "
            f"empty, {counts.short:,} shorter than {self.request.data.min_chars} characters (--data.min-chars), "
            + f"{counts.damaged:,} damaged (--data.drop-damaged), " * bool(counts.damaged)
            + f"{duplicates:,} duplicates of other or evaluation stories; the rest went to other splits"
        )

    def _load_gpt2(self) -> Tokenizer | None:
        """GPT-2's tokenizer if it is used: if its files are missing, that is reported before stories are read."""
        config = self.request.tokenizer
        if config.kind not in ("gpt2", "gpt2-top"):
            return None
        return make_tokenizer(dataclasses.replace(config, kind="gpt2"), self.request.vocab_size, lambda: ())

    def _make_tokenizer(self, stories: SplitStories, gpt2: Tokenizer | None) -> Tokenizer:
        folder = self.folder / "tokenizer"
        if folder.exists():
            return Tokenizer.load(folder)
        config, every = self.request.tokenizer, 1
        if config.kind == "bpe":
            every = max(1, -(-stories.n_bytes // BPE_TRAINING_BYTES))
        with self._stage("making the tokenizer", "stories", -(-len(stories) // every)) as progress:
            made = gpt2 if config.kind == "gpt2" else None
            made = made or make_tokenizer(
                config, self.request.vocab_size, lambda: _counted(stories.read(every), progress)
            )
        with atomic_folder(folder) as partial:
            for name, text in made.files().items():
                write_text_atomic(partial / name, text)
        return made

    def _tokenize(self, tokenizer: Tokenizer, split: SplitName, stories: SplitStories) -> dict[str, Any]:
        """Write the shards of a split; returns its entry in the manifest."""
        writer = ShardWriter(self.folder, split, stories.sizes, token_dtype(tokenizer.vocab_size))
        with contextlib.closing(writer), self._stage(f"tokenizing {split}", "stories", len(stories)) as progress:
            for batch in tokenize_stories(tokenizer, stories.read()):
                writer.write(batch.ids, batch.lengths)
                progress.advance(len(batch.lengths))
        files = []
        for name in split_files(split, writer.tokens, layout.SHARD_TOKENS):
            path = self.folder / name
            files.append({"name": name, "size": path.stat().st_size, "sha256": sha256_file(path)})
        return {"stories": len(stories), "tokens": writer.tokens, "bytes": stories.n_bytes, "files": files}

    def _write_manifest(
        self,
        tokenizer: Tokenizer,
        staged: dict[SplitName, StagedStories],
        splits: dict[SplitName, dict[str, Any]],
        duplicates: dict[SplitName, int],
    ) -> None:
        """The last file: a folder that has it is complete."""
        digests = hashlib.sha256()
        for name in SPLITS:
            if name in staged:
                digests.update(name.encode())
                digests.update(staged[name].digests.data)
        removed = ("empty", "short", *["damaged"] * self.request.data.drop_damaged)
        read = {
            name: {key: getattr(some, key) for key in ("read", *removed, "repaired")} | {"duplicates": duplicates[name]}
            for name, some in self.counts.items()
        }
        flaws = {name: {flaw: getattr(some, flaw) for flaw in FLAWS} for name, some in self.counts.items()}
        recognized = {
            name: [{"files": count, **form.values()} for form, count in some] for name, some in self.recognized.items()
        }
        manifest = {
            "format": FORMAT,
            "version": VERSION,
            "program": f"talewright {__version__}",
            "request": self.request.values,
            "data": json.loads(json.dumps(asdict(self.request.data))),
            "source": {"fingerprint": digests.hexdigest(), "versions": self.versions, "read": read, "flaws": flaws},
            "recognized": recognized,
            "tokenizer": {"fingerprint": tokenizer.fingerprint, "vocab_size": tokenizer.vocab_size},
            "dtype": token_dtype(tokenizer.vocab_size).name,
            "shard_tokens": layout.SHARD_TOKENS,
            "splits": splits,
        }
        write_json(self.folder / MANIFEST, manifest)

    def _remove_working_files(self) -> None:
        shutil.rmtree(self.staging, ignore_errors=True)
        for path in (self.folder / _PROGRESS, *self.folder.rglob("*.part")):
            path.unlink(missing_ok=True)

    def _stage(self, name: str, unit: str, total: int | None = None) -> StageProgress:
        return StageProgress(name, unit, total, self.show_progress)


def _counted(items: Iterable[_T], progress: StageProgress) -> Iterator[_T]:
    """The same items; the progress is advanced now and then."""
    number = 0
    for number, item in enumerate(items, 1):
        yield item
        if not number % _UPDATE:
            progress.advance(_UPDATE)
    progress.advance(number % _UPDATE)
