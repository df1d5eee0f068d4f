"""From stories to a prepared corpus: read and cleaned once, shared out, tokenised, and put into place whole.

A preparation works in `FOLDER.partial`, notes how far it is, and goes on from there when it is started again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import shutil
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from talewright.config import DataConfig, Recipe, TokenizerConfig
from talewright.data import shards as on_disk
from talewright.data.corpus import FORMAT, MANIFEST, VERSION, Corpus
from talewright.data.disk import disk_errors, is_half_made
from talewright.data.encode import encode_stories
from talewright.data.notes import Notes
from talewright.data.progress import Phase, Progress
from talewright.data.request import Job, cache_folder, difference, is_prepared
from talewright.data.shards import (
    ShardWriter,
    Written,
    npy_header,
    shard_name,
    sizes_name,
    starts_name,
    token_dtype,
)
from talewright.data.sources import InterruptedSourceError, Role, open_roles
from talewright.data.space import ensure_room, expected, tokens_room
from talewright.data.splits import DROPPED, SPLITS, SplitName, assign, first_of_each
from talewright.data.spool import SpooledStories, SpoolWriter, State
from talewright.errors import UserError
from talewright.files import (
    folder_size,
    publish_folder,
    read_json,
    reject_outside_links,
    sha256_file,
    wait_for_lock,
    write_json,
)
from talewright.tokenizer import Tokenizer, make_tokenizer
from talewright.version import __version__

SYNC_SECONDS = 5.0  # the most work that is done again after an interruption
LEARNED_BYTES = 128 << 20  # of text that a BPE is learned from: its memory grows with the different words in it
DEFAULT_SHARES = (0.95, 0.05)
_LOOK = 512  # stories between two looks at the clock


def prepare(
    config: DataConfig,
    tokenizer: TokenizerConfig,
    vocab_size: int,
    folder: Path | None = None,
    progress: bool = True,
) -> Corpus:
    """The prepared corpus of these settings: made now, gone on with, or opened where it is done.

    Without a folder it is kept in the cache, under a name that changes with everything that it depends on. A source
    that is itself a prepared corpus is opened as it is. Raises UserError at whatever is wrong with the stories, the
    settings or the disk; what was there before stays as it was.
    """
    if is_prepared(config.source):
        return _open_prepared(Path(config.source), tokenizer, vocab_size)
    job = Job(config, tokenizer, vocab_size)
    target = cache_folder(job) if folder is None else Path(folder)
    shown, partial = Progress(progress), target.with_name(target.name + ".partial")
    making = _Preparation(job, partial, shown)
    with disk_errors(target, partial, lambda: making.needed):
        if not _done(target, job.request):
            _refuse_within(target, config)
            target.parent.mkdir(parents=True, exist_ok=True)
            with wait_for_lock(target, lambda: shown.say(f"waiting for another preparation of {target}")):
                if not _done(target, job.request):
                    making.run()
                    publish_folder(partial, target)
        return Corpus.open(target)


def open_corpus(recipe: Recipe) -> Corpus:
    """The recipe's prepared stories, prepared now if necessary. Raises UserError if its model has too few token ids."""
    corpus = prepare(recipe.data, recipe.tokenizer, recipe.model.vocab_size)
    size, capacity = corpus.tokenizer.vocab_size, recipe.model.vocab_size
    if size > capacity:
        raise UserError(
            f"model.vocab_size is {capacity}, and the tokenizer {recipe.tokenizer.kind} has {size} tokens; "
            f"set it to {size}"
        )
    return corpus


def _open_prepared(folder: Path, tokenizer: TokenizerConfig, vocab_size: int) -> Corpus:
    corpus = Corpus.open(folder)
    words = corpus.manifest["request"]["tokenizer"]
    if words.get("kind") != tokenizer.kind or words.get("vocab_size", vocab_size) != vocab_size:
        size = f" of {words['vocab_size']}" if "vocab_size" in words else ""
        raise UserError(
            f"{folder} has tokenizer.kind {words.get('kind')}{size}, and {tokenizer.kind} of {vocab_size} "
            "is asked for; set --tokenizer.kind and --model.vocab-size to what it has, or name the stories themselves"
        )
    return corpus


def _refuse_within(target: Path, config: DataConfig) -> None:
    """What is written among the stories would be read as some of them."""
    for source in filter(None, (config.source, config.valid, config.test)):
        if Path(source).is_dir() and target.resolve().is_relative_to(Path(source).resolve()):
            raise UserError(f"{target} lies in {source}, among the stories that it is made of; name a folder elsewhere")


def _done(target: Path, request: dict[str, Any]) -> bool:
    """Whether the folder holds this corpus already. Raises UserError where it holds something else."""
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return False
    manifest = read_json(target / MANIFEST)
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise UserError(f"{target} holds something else than a prepared corpus; name another folder")
    there = manifest.get("request")
    if there != request:
        raise UserError(
            f"{target} holds a corpus that was prepared otherwise: {difference(there, request)}; name another folder"
        )
    return True


# --- making it -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Share:
    """A split's stories: the role that they were read as, and their numbers in it."""

    role: SplitName
    numbers: np.ndarray


class _Preparation:
    """One corpus in the making, in a folder of its own until it is whole."""

    def __init__(self, job: Job, folder: Path, progress: Progress) -> None:
        self.job, self.folder, self.progress = job, folder, progress
        self.spool = folder / "spool"
        self.notes = Notes(folder / "progress.json", job.request)
        self.synced = time.monotonic()
        self.needed = 0
        """Bytes that the folder takes while it is made, about; 0 where that is not known yet."""

    def run(self) -> None:
        """Do what is left to do; afterwards the folder is whole but for its name."""
        if self.folder.exists() and not is_half_made(self.folder):
            raise UserError(f"{self.folder} is where this is prepared, and holds something else; move that away")
        if self.folder.exists():
            reject_outside_links(self.folder)
        manifest = read_json(self.folder / MANIFEST)
        if isinstance(manifest, dict) and manifest.get("request") == self.job.request:
            return self._tidy()  # it was stopped just before it was put into place
        try:
            self._run()
        except KeyboardInterrupt:
            self.progress.say("stopped; the same command goes on from here")
            raise

    def _run(self) -> None:
        words = self.job.tokenizer
        if words.kind in (
            "gpt2",
            "gpt2-top",
        ):  # where these cannot be had, that is said before anything is read
            make_tokenizer(dataclasses.replace(words, kind="gpt2"), self.job.vocab_size, lambda: ())
        if not self.notes.read:
            roles, versions = open_roles(self.job.data)
            self._begin(versions)
            text = expected(roles.values(), self.job.data)
            if text is not None:
                self._ensure_room(text.room())
            self._read(roles)
        spooled = {name: SpooledStories(self.spool, name) for name in self.notes.roles}
        shares, duplicates = self._share_out(spooled)
        tokenizer = self._make_tokenizer(spooled["train"], shares["train"])
        self._ensure_room_for_tokens(tokenizer, spooled, shares)
        for split, share in shares.items():
            self._tokenize(tokenizer, split, spooled[share.role], share.numbers)
        self._finish(tokenizer, spooled, shares, duplicates)

    def _begin(self, versions: list[str]) -> None:
        """Make the folder, or keep what an earlier preparation of the same stories left in it."""
        if self.folder.exists() and self.notes.versions != versions:
            shutil.rmtree(self.folder)
            self.notes.clear()
        self.notes.versions = versions
        self.spool.mkdir(parents=True, exist_ok=True)
        self.notes.write()

    def _read(self, roles: dict[SplitName, Role]) -> None:
        self.notes.roles = {name: self.notes.roles.get(name, State()) for name in roles}
        with self._keep_if_interrupted(), self.progress.phase("reading", "stories") as phase:
            phase.advance(sum(state.counts.read for state in self.notes.roles.values()))
            for name, role in roles.items():
                if not self.notes.roles[name].done:
                    self._read_role(name, role, phase)
            self._refuse_change()
        self.notes.read = True
        self.notes.write()

    def _refuse_change(self) -> None:
        """The key of what is made is the files as they were when it began."""
        now = dataclasses.replace(self.job).request  # asked for anew
        if now != self.job.request:
            raise UserError(f"a source changed while it was read: {difference(self.job.request, now)}; prepare again")

    @contextlib.contextmanager
    def _keep_if_interrupted(self) -> Iterator[None]:
        """Take away what was laid down where going on cannot mend what is wrong: the stories themselves."""
        try:
            yield
        except UserError as error:
            if not isinstance(error, InterruptedSourceError):
                shutil.rmtree(self.folder)
            raise

    def _read_role(self, name: SplitName, role: Role, phase: Phase) -> None:
        state = self.notes.roles[name]
        writer = SpoolWriter(self.spool, name, state, self.job.data.min_chars)
        with contextlib.closing(writer):
            try:
                self._lay_down(role, state, writer, phase)
            except InterruptedSourceError:  # between two stories: what came before stays
                self._sync(writer, now=True)
                raise
            state.done = True
            self._sync(writer, now=True)

    def _lay_down(self, role: Role, state: State, writer: SpoolWriter, phase: Phase) -> None:
        """Read the role's stories from where its state says, to their end or the limit."""
        while state.part < len(role.parts) and not self._limit_reached(state, role):
            for record in role.parts[state.part].read(state.records):
                writer.add(record)
                if not state.counts.read % _LOOK:
                    phase.advance(_LOOK)
                    self._sync(writer)
                if self._limit_reached(state, role):
                    break
            else:
                state.part, state.records = state.part + 1, 0
        phase.advance(state.counts.read % _LOOK)

    @staticmethod
    def _limit_reached(state: State, role: Role) -> bool:
        return role.limit is not None and state.counts.read >= role.limit

    def _sync(self, writer: SpoolWriter | ShardWriter, now: bool = False) -> None:
        """Every few seconds see to it that what was done is on the disk, and note it."""
        if now or time.monotonic() - self.synced >= SYNC_SECONDS:
            writer.sync()
            self.notes.write()
            self.synced = time.monotonic()

    def _share_out(self, spooled: dict[SplitName, SpooledStories]) -> tuple[dict[SplitName, _Share], dict[str, int]]:
        """Which stories each split gets, and how many duplicates were left out of each role.

        Of duplicates, the first counts, and those of an evaluation split come first: they are not trained on.
        """
        order = [name for name in ("valid", "test", "train") if name in spooled]
        kept = dict(zip(order, first_of_each([spooled[name].digests for name in order]), strict=True))
        valid, test = evaluation_shares(self.job.data, set(spooled))
        places = {name: np.full(len(spooled[name].sizes), SPLITS.index(name), dtype=np.uint8) for name in order}
        places["train"] = assign(spooled["train"].digests, valid, test)
        shares: dict[SplitName, _Share] = {}
        for number, split in enumerate(SPLITS):
            role: SplitName = split if split in spooled else "train"
            numbers = np.flatnonzero(np.where(kept[role], places[role], DROPPED) == number)
            if len(numbers):
                shares[split] = _Share(role, numbers)
        duplicates = {name: int(len(kept[name]) - kept[name].sum()) for name in order}
        if "train" not in shares:
            self._refuse_nothing(duplicates)
        return shares, duplicates

    def _refuse_nothing(self, duplicates: dict[str, int]) -> None:
        counts = self.notes.roles["train"].counts
        shutil.rmtree(self.folder)
        raise UserError(
            f"{self.job.data.source} gave no story to train on: {counts.read:,} read, {counts.empty:,} of them empty, "
            f"{counts.short:,} shorter than {self.job.data.min_chars} characters (--data.min-chars), "
            f"{duplicates['train']:,} copies of others or of evaluation stories; what is left fell to other splits"
        )

    def _make_tokenizer(self, stories: SpooledStories, share: _Share) -> Tokenizer:
        folder = self.folder / "tokenizer"
        if not self.notes.tokenizer:
            numbers = share.numbers
            if self.job.tokenizer.kind == "bpe":
                numbers = evenly(numbers, int(stories.sizes[numbers].sum()))
            with self.progress.phase("making the tokenizer", "stories", len(numbers)) as phase:
                read = lambda: _counted(stories.read(numbers), phase)  # noqa: E731
                make_tokenizer(self.job.tokenizer, self.job.vocab_size, read).save(folder)
            self.notes.tokenizer = True
            self.notes.write()
        return Tokenizer.load(folder)

    def _ensure_room(self, needed: int) -> None:
        """Raise the disk's own error where there is too little room for this and what is already made of it."""
        self.needed = needed
        ensure_room(self.folder, needed - folder_size(self.folder))

    def _ensure_room_for_tokens(
        self, tokenizer: Tokenizer, spooled: dict[SplitName, SpooledStories], shares: dict[SplitName, _Share]
    ) -> None:
        train = shares["train"]
        sample = list(spooled["train"].read(train.numbers[:_LOOK]))
        sizes = [spooled[share.role].sizes[share.numbers] for share in shares.values()]
        self._ensure_room(folder_size(self.spool) + tokens_room(tokenizer, sample, sizes))

    def _tokenize(self, tokenizer: Tokenizer, split: SplitName, stories: SpooledStories, numbers: np.ndarray) -> None:
        written = self.notes.splits.setdefault(split, Written())
        if written.stories == len(numbers):
            return
        writer = ShardWriter(self.folder, split, len(numbers), token_dtype(tokenizer.vocab_size), written)
        total = int(stories.sizes[numbers].sum())
        with (
            contextlib.closing(writer),
            self.progress.phase(f"tokenizing {split}", "bytes", total) as phase,
        ):
            phase.advance(int(stories.sizes[numbers[: written.stories]].sum()))
            for batch in encode_stories(tokenizer, stories.read(numbers[written.stories :])):
                begin = written.stories
                writer.write(batch.ids, batch.lengths)
                phase.advance(int(stories.sizes[numbers[begin : written.stories]].sum()))
                self._sync(writer)
            self._sync(writer, now=True)

    def _finish(
        self,
        tokenizer: Tokenizer,
        spooled: dict[SplitName, SpooledStories],
        shares: dict[SplitName, _Share],
        duplicates: dict[str, int],
    ) -> None:
        """Write the manifest, the last file of all."""
        splits = {}
        for split, share in shares.items():
            sizes = spooled[share.role].sizes[share.numbers]
            (self.folder / sizes_name(split)).write_bytes(npy_header(len(sizes)) + sizes.astype("<i8").tobytes())
            splits[split] = self._split_entry(split, sizes)
        digests = hashlib.sha256()
        for name in SPLITS:
            if name in spooled:
                digests.update(name.encode())
                digests.update(spooled[name].digests.data)
        read = {
            name: asdict(state.counts) | {"duplicates": duplicates[name]} for name, state in self.notes.roles.items()
        }
        source = {"fingerprint": digests.hexdigest(), "versions": self.notes.versions, "read": read}
        words = {"fingerprint": tokenizer.fingerprint, "vocab_size": tokenizer.vocab_size}
        write_json(
            self.folder / MANIFEST,
            {
                "format": FORMAT,
                "version": VERSION,
                "program": f"talewright {__version__}",
                "request": self.job.request,
                "data": json.loads(json.dumps(asdict(self.job.data))),
                "source": source,
                "tokenizer": words,
                "dtype": token_dtype(tokenizer.vocab_size).name,
                "shard_tokens": on_disk.SHARD_TOKENS,
                "splits": splits,
            },
        )
        self._tidy()

    def _split_entry(self, split: SplitName, sizes: np.ndarray) -> dict[str, Any]:
        tokens = self.notes.splits[split].tokens
        names = [shard_name(split, number) for number in range(-(-tokens // on_disk.SHARD_TOKENS))]
        files = []
        for name in (*names, starts_name(split), sizes_name(split)):
            path = self.folder / name
            files.append({"name": name, "size": path.stat().st_size, "sha256": sha256_file(path)})
        return {"stories": len(sizes), "tokens": tokens, "bytes": int(sizes.sum()), "files": files}

    def _tidy(self) -> None:
        """Leave nothing but the corpus, nor what a kill left half written."""
        shutil.rmtree(self.spool, ignore_errors=True)
        for path in (self.notes.path, *self.folder.rglob("*.part")):
            path.unlink(missing_ok=True)


def evaluation_shares(config: DataConfig, roles: set[SplitName]) -> tuple[float, float]:
    """Shares of the training stories that go to validation and test.

    A split that is read from somewhere else takes none. Where nothing is said and the source has no validation
    stories, it is 5 %.
    """
    shares = config.splits or (DEFAULT_SHARES if "valid" not in roles else (1.0, 0.0))
    valid, test = (share / sum(shares) for share in (*shares[1:], 0.0)[:2])
    return (0.0 if "valid" in roles else valid), (0.0 if "test" in roles else test)


def evenly(numbers: np.ndarray, size: int) -> np.ndarray:
    """Of stories that are so many bytes, as many as a tokenizer is learned from, every second or third or n-th one."""
    return numbers[:: max(1, -(-size // LEARNED_BYTES))]


def _counted(stories: Iterable[str], phase: Phase) -> Iterator[str]:
    number = 0
    for number, story in enumerate(stories, 1):
        yield story
        if not number % _LOOK:
            phase.advance(_LOOK)
    phase.advance(number % _LOOK)
