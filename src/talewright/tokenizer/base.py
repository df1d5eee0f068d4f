"""The interface of every tokenizer: a lossless byte-level BPE with one special token, the end of text."""

from __future__ import annotations

import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tokenizers
from tokenizers import AddedToken, decoders, pre_tokenizers
from tokenizers.models import BPE

from talewright.config import EOT
from talewright.errors import UserError
from talewright.files import error_reason, write_text_atomic
from talewright.tokenizer.ends import begin_and_ends
from talewright.tokenizer.fallback import bytes_of_piece, fallback_token
from talewright.tokenizer.parts import GPT2_SPLITTING, adds_space, check_parts, is_bytewise, splitting
from talewright.tokenizer.pieces import LONGEST, pieces

FILE = "tokenizer.json"
FILES = ("vocab.json", "merges.txt", "tokenizer_config.json", FILE)
"""What `save` writes."""


def _byte_letters() -> list[str]:
    """The letter for each byte in a byte-level vocabulary (GPT-2's `bytes_to_unicode`)."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = (chr(0x100 + n) for n in range(256))
    return [chr(byte) if byte in printable else next(others) for byte in range(256)]


BYTE_LETTERS = _byte_letters()
_BYTE_OF = defaultdict(int, {ord(letter): byte for byte, letter in enumerate(BYTE_LETTERS)})
"""For `str.translate`; 0 for a character that is no byte letter."""


class Merges(NamedTuple):
    """A byte-level BPE as GPT-2's two files hold it."""

    vocab: dict[str, int]
    """Id of each token, spelled in byte letters, and of the end of text."""
    merges: list[tuple[str, str]]
    """Pairs of tokens that become one, in order of priority."""


class Tokenizer:
    """Text to ids and back, losslessly: `decode(encode(text)) == text` for any text that UTF-8 can hold.

    The end-of-text token is not part of any text: `encode` never returns it, not even for its own spelling, and
    `decode` omits it. Immutable. Made by `make_tokenizer`, or by `load` from a folder.
    """

    def __init__(self, tokenizer_json: str) -> None:
        """From the text of a tokenizer.json. Raises UserError if that is not a lossless byte-level BPE."""
        _encode_in_threads()
        data = parsed(tokenizer_json)
        check_parts(data)
        self._json = json.dumps(data, sort_keys=True, ensure_ascii=False)
        try:
            self._backend = tokenizers.Tokenizer.from_str(self._json)
        except Exception as error:  # the library raises Exception itself
            raise UserError(f"the tokenizer cannot be read: {error}") from None
        # Otherwise the spelling of the end of text in a story would end it. The file does not store this setting.
        self._backend.encode_special_tokens = True
        self.eos_id: int = _eos_id(self._backend)
        special = {token.content: n for n, token in self._backend.get_added_tokens_decoder().items() if token.special}
        _refuse_spelled(self._backend, special)
        self.begin_id, self.ends = begin_and_ends(data, self.eos_id, special)
        """The id before a text, and all ids at which a generated text ends: the end of text, unless a foreign tokenizer
        has a begin of its own, which then also ends the text before it.
        """
        ids = self._backend.get_vocab()
        self.token_bytes: list[bytes] = _bytes_of_tokens(self._backend, ids, data)
        """Bytes of each id; b"" for the end of text, other special tokens and unused ids."""
        self.vocab_size: int = len(self.token_bytes)
        """Number of ids, with the end of text."""
        self.unused: list[int] = sorted({*range(self.vocab_size)}.difference(ids.values()))
        """Ids below vocab_size that are no token; none of ours has any."""
        self.splitting = splitting(data)
        """What decides where a text is split, except vocabulary and merges: equal if these parts are the same."""
        self._table = dict(enumerate(self.token_bytes))
        self.adds_space: bool = adds_space(data)
        """Whether it puts a space before each text, as Llama's does."""

    @classmethod
    def from_merges(cls, bpe: Merges) -> Tokenizer:
        """With GPT-2's way of cutting text into words. Raises UserError if merges and vocabulary do not match."""
        try:
            backend = new_backend(BPE(bpe.vocab, bpe.merges))
        except Exception as error:  # the library raises Exception itself
            raise UserError(f"the tokenizer's merges do not fit its vocabulary: {error}") from None
        return cls.from_backend(backend)

    @classmethod
    def from_backend(cls, backend: tokenizers.Tokenizer) -> Tokenizer:
        """From what `new_backend` returned."""
        backend.add_special_tokens([AddedToken(EOT, special=True, normalized=False)])
        return cls(backend.to_str())

    @classmethod
    def load(cls, folder: Path) -> Tokenizer:
        """The tokenizer saved in a folder. Raises UserError, naming the file, if there is none."""
        path = Path(folder) / FILE
        if not path.exists():
            raise UserError(f"no {FILE} in {folder}; `talewright data tokenizer train` makes one")
        text = read_text(path)
        if EOT not in text:  # another program's
            from talewright.tokenizer.foreign import read_foreign

            return read_foreign(Path(folder))
        try:
            return cls(text)
        except UserError as error:
            raise UserError(f"{path}: {error}") from None

    def save(self, folder: Path) -> None:
        """Write tokenizer.json, its configuration for transformers, and GPT-2's vocab.json and merges.txt."""
        try:
            Path(folder).mkdir(parents=True, exist_ok=True)
            for name, text in self.files().items():
                write_text_atomic(Path(folder) / name, text)
        except OSError as error:
            raise UserError(f"the tokenizer cannot be saved in {folder}: {error.strerror or error}") from None

    def files(self) -> dict[str, str]:
        """The text of each file that `save` writes; tokenizer.json is last: a folder that has it is complete."""
        bpe = self.merges()
        lines = ["#version: 0.2", *(" ".join(pair) for pair in bpe.merges)]
        return {
            "vocab.json": json.dumps(bpe.vocab, ensure_ascii=False),
            "merges.txt": "\n".join(lines) + "\n",
            "tokenizer_config.json": json.dumps(_TRANSFORMERS_CONFIG | {"bos_token": self.begin}, indent=2) + "\n",
            FILE: self._json,
        }

    def merges(self) -> Merges:
        """The vocabulary and merges, as vocab.json and merges.txt hold them."""
        return merges_of_json(json.loads(self._json))

    @property
    def splits_as_gpt2(self) -> bool:
        """Whether it cuts a text into GPT-2's words: then the ids of a text are those of its words."""
        return self.splitting == GPT2_SPLITTING

    @property
    def begin(self) -> str:
        """The name of the token before a text."""
        return self._backend.id_to_token(self.begin_id) or EOT

    @property
    def separator(self) -> list[int]:
        """The ids between two texts: the end of one, and the begin of the next if that is another token."""
        return [self.eos_id] if self.begin_id == self.eos_id else [self.eos_id, self.begin_id]

    @cached_property
    def byte_lengths(self) -> np.ndarray:
        """Bytes of text of each id: (vocab_size,) int32, 0 for the end of text."""
        lengths = np.fromiter(map(len, self.token_bytes), dtype=np.int32, count=self.vocab_size)
        lengths.flags.writeable = False
        return lengths

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of tokenizer.json in canonical form: the same after saving and loading."""
        return hashlib.sha256(self._json.encode("utf-8")).hexdigest()

    def encode(self, text: str) -> list[int]:
        """Ids of the text, without an end of text. Raises UserError for a single surrogate, which is not text."""
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text, on all cores. Raises UserError as `encode` does.

        A text of more than 65,536 characters is encoded in pieces, cut between words, to bound the memory, if the words
        are GPT-2's.
        """
        if self.splits_as_gpt2 and any(len(text) > LONGEST for text in texts):
            return [[number for piece in pieces(text) for number in self.encode(piece)] for text in texts]
        try:
            encodings = self._backend.encode_batch_fast(texts, add_special_tokens=False)
        except TypeError:  # the library's error for a single surrogate
            refuse_surrogates(texts)
            raise
        return [encoding.ids for encoding in encodings]

    def decode(self, ids: Sequence[int] | np.ndarray) -> str:
        """Text of the ids, without ends of text, with U+FFFD for bytes that are not UTF-8.

        A space that the tokenizer adds before each text, as Llama's does, is removed. Raises UserError for an id that
        is not in the vocabulary.
        """
        numbers = ids.tolist() if isinstance(ids, np.ndarray) else ids
        try:
            whole = b"".join(map(self._table.__getitem__, numbers))
        except KeyError as error:
            last = self.vocab_size - 1
            raise UserError(f"{error.args[0]} is not an id of this tokenizer; its ids are 0 to {last}") from None
        return self.without_added_space(whole).decode("utf-8", errors="replace")

    def without_added_space(self, start: bytes) -> bytes:
        """The bytes that a text begins with, without the space that the tokenizer adds."""
        return start[1:] if self.adds_space and start[:1] == b" " else start

    def after_prompt(self, token: int, first: bool) -> bytes:
        """The bytes that a generated token adds; `first`: to an empty text, where a space that is added is left out."""
        return self.without_added_space(self.token_bytes[token]) if first else self.token_bytes[token]

    def decode_batch(self, batch: Iterable[Sequence[int] | np.ndarray]) -> list[str]:
        """Text of each sequence of ids."""
        return [self.decode(ids) for ids in batch]

    def __reduce__(self) -> tuple[type[Tokenizer], tuple[str]]:
        return Tokenizer, (self._json,)  # the library's own pickling loses a setting

    def __repr__(self) -> str:
        return f"Tokenizer(vocab_size={self.vocab_size}, fingerprint={self.fingerprint[:8]})"


def new_backend(model: BPE) -> tokenizers.Tokenizer:
    """The library's tokenizer around a model, with GPT-2's way of cutting text into words and no normalization."""
    backend = tokenizers.Tokenizer(model)
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    backend.decoder = decoders.ByteLevel()
    return backend


def read_text(path: Path) -> str:
    """The text of a UTF-8 file. Raises UserError, naming it, if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error_reason(error)}") from None


def merges_of_json(data: Any) -> Merges:
    """Vocabulary, by id, and merges of a parsed tokenizer.json. Raises UserError if it holds no BPE."""
    try:
        vocab = data["model"]["vocab"] | {token["content"]: token["id"] for token in data["added_tokens"]}
        # A pair was written as "a b" before tokenizers 0.20.
        pairs = (pair.split(" ") if isinstance(pair, str) else pair for pair in data["model"]["merges"])
        merges = [(str(left), str(right)) for left, right in pairs]
        return Merges(dict(sorted(vocab.items(), key=lambda item: int(item[1]))), merges)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise UserError("the tokenizer holds no BPE: no vocabulary with merges") from None


_TRANSFORMERS_CONFIG = {
    "tokenizer_class": "PreTrainedTokenizerFast",
    "bos_token": EOT,
    "eos_token": EOT,
    "pad_token": EOT,
    "clean_up_tokenization_spaces": False,
    # no token types, which GPT-2 would add to the tokens:
    "model_input_names": ["input_ids", "attention_mask"],
}


def _refuse_spelled(backend: tokenizers.Tokenizer, special: dict[str, int]) -> None:
    """Raise UserError, naming it, if a text can contain a special token: one that is made by merges, or is a word."""
    encodings = backend.encode_batch_fast([*special], add_special_tokens=False)
    for (name, number), encoding in zip(special.items(), encodings, strict=True):
        if number in encoding.ids:
            raise UserError(f"the tokenizer's special token {name!r} is also made of text, which would be lost")


def parsed(tokenizer_json: str) -> dict[str, Any]:
    """The parsed JSON, without the truncation and padding that a foreign file may set."""
    try:
        data = json.loads(tokenizer_json)
    except (ValueError, RecursionError) as error:
        raise UserError(f"the tokenizer is not JSON: {error}") from None
    if not isinstance(data, dict):
        raise UserError("the tokenizer is not valid: its JSON is not an object")
    return data | {"truncation": None, "padding": None}


def _eos_id(backend: tokenizers.Tokenizer) -> int:
    for token_id, token in backend.get_added_tokens_decoder().items():
        if token.content == EOT and token.special:
            return token_id
    raise UserError(f"the tokenizer has no special token {EOT}")


def _bytes_of_tokens(backend: tokenizers.Tokenizer, ids: dict[str, int], data: dict[str, Any]) -> list[bytes]:
    """Bytes of each id; b"" for special tokens and unused ids. ids: those of all tokens, by their names."""
    bytewise = is_bytewise(data)
    single = BYTE_LETTERS if bytewise else [fallback_token(byte) for byte in range(256)]
    missing = [f"0x{byte:02X}" for byte, letter in enumerate(single) if letter not in ids]
    if missing:
        raise UserError(f"the tokenizer has no token for the byte {missing[0]}; a byte-level BPE has all 256")
    largest = max(ids.values())
    if len(set(ids.values())) < len(ids):
        raise UserError("the tokenizer gives the same id to two tokens")
    if largest > 2 * len(ids) + 1000:  # a table of billions would fill the memory
        raise UserError(f"the tokenizer has {len(ids):,} tokens, and numbers one of them {largest:,}")
    table = [b""] * (largest + 1)
    for token, token_id in data["model"]["vocab"].items():
        table[token_id] = token.translate(_BYTE_OF).encode("latin-1") if bytewise else bytes_of_piece(token)
    for token_id, token in backend.get_added_tokens_decoder().items():
        content = token.content.encode("utf-8")
        if table[token_id] not in (b"", content) and not token.special:
            raise UserError(f"the tokenizer's added token {token.content!r} is also its token of other bytes")
        table[token_id] = b"" if token.special else content
    for token in data.get("added_tokens") or []:  # the library renumbers those that do not follow the vocabulary
        if ids.get(token["content"]) != token["id"]:
            raise UserError(
                f"the tokenizer gives its added token {token['content']!r} the id {token['id']}, where the tokenizers "
                f"library has {ids.get(token['content'])}; it must be the same"
            )
    return table


def refuse_surrogates(texts: Sequence[str]) -> None:
    """Raise UserError if a text holds a single surrogate."""
    for text in texts:
        try:
            str.encode(text)
        except UnicodeEncodeError as error:
            code = ord(text[error.start])
            raise UserError(
                f"a text holds U+{code:04X}, half of a surrogate pair, not a character: {text[:40]!r}"
            ) from None


def _encode_in_threads() -> None:
    """Let the library use all cores unless the environment says otherwise, and one in a forked child.

    Its threads do not survive a fork: by default it warns on standard error at each one, or else the child hangs.
    """
    if "TOKENIZERS_PARALLELISM" not in os.environ:
        os.environ["TOKENIZERS_PARALLELISM"] = "true"
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=lambda: os.environ.update(TOKENIZERS_PARALLELISM="false"))
