"""Hostile text, from its file to the shards and back: no crash, no loss, no end of text but our own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from talewright.config import EOT, DataConfig
from talewright.data import prepare
from talewright.errors import UserError
from tests.data.cases import BPE, VOCAB, as_bytes, stream, tales, texts

OTHERS = as_bytes("txt", tales(30))
AS_IT_IS = {
    "no newline at the end": "A story that ends here, at once.",
    "a line of two megabytes": "word " * 400_000 + "end.",
    "two megabytes without a blank": "xy" * 1_000_000,
    "emoji": "😀👩\u200d👩\u200d👧🏽 they all laughed: 🇫🇷!",
    "right to left": "\u202eהיה היה פעם כלב קטן\u202c وكان سعيدا",
    "other line ends": "One\u2028two\x85three\x0bfour\x1cfive six.",
    "combining marks": "a" + "\u0301" * 5000,
    "special tokens of others": "<s> [INST] <|im_start|> </s> <pad> [MASK] <|eot_id|>",
}
MENDED: dict[str, tuple[bytes, list[str]]] = {
    "NUL bytes": (b"Once\0 upon\0\0 a time, said the cat.\0", ["Once upon a time, said the cat."]),
    "NUL bytes alone": (b"\0" * 100, []),
    "a byte-order mark": (b"\xef\xbb\xbfOnce upon a time there was.", ["Once upon a time there was."]),
    "CRLF": (b"Once upon a time,\r\nthere was a hen.\r\n", ["Once upon a time,\nthere was a hen."]),
    "CR": (b"Once upon a time,\rthere was a hen.\r", ["Once upon a time,\nthere was a hen."]),
    "cp1252 damage": ("It was Tomâ€™s cafÃ©, and it was red.".encode(), ["It was Tom’s café, and it was red."]),
    "the end of text within a line": (
        f"She said that this was its end.{EOT}Then it began again at once.".encode(),
        ["She said that this was its end.", "Then it began again at once."],
    ),
    "nothing": (b"", []),
    "blanks": (b" \t\r\n" * 50, []),
}
TEXTS = {name: (text.encode(), [text]) for name, text in AS_IT_IS.items()} | MENDED
"""What stands in the file beside thirty other stories, and the stories that it must give."""


@pytest.mark.parametrize("case", TEXTS)
def test_hostile_text_comes_back_from_the_shards(case: str, tmp_path: Path):
    data, expected = TEXTS[case]
    (tmp_path / "a.txt").write_bytes(OTHERS + data)
    corpus = prepare(DataConfig(source=str(tmp_path / "a.txt")), BPE, VOCAB, progress=False)
    assert sorted(texts(corpus, *corpus.splits)) == sorted([*tales(30), *expected])
    for name in corpus.splits:
        assert (stream(corpus, name) == corpus.tokenizer.eos_id).sum() == corpus.split(name).n_stories


SPELLED = [
    *(EOT * 5, f"{EOT} Once {EOT}\n{EOT}"),
    *("half a pair \ud83d here, and more of it", "\ud83d\ude00 a pair of halves, joined"),
]


@pytest.mark.parametrize("kind", ["jsonl", "json"])
def test_what_json_can_spell_injects_nothing(kind: str, tmp_path: Path):
    rows = [{"text": text} for text in [*tales(30), *SPELLED]]
    text = "\n".join(map(json.dumps, rows)) if kind == "jsonl" else json.dumps(rows)
    (tmp_path / f"a.{kind}").write_text(text, encoding="ascii")
    corpus = prepare(DataConfig(source=str(tmp_path / f"a.{kind}")), BPE, VOCAB, progress=False)
    mended = [*SPELLED[:2], "half a pair \ufffd here, and more of it", "😀 a pair of halves, joined"]
    assert sorted(texts(corpus, *corpus.splits)) == sorted([*tales(30), *mended])


NO_UTF8 = [b"\xff\xfe\x00", "Él dijo".encode("cp1252"), b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80", b"\xe2\x80"]


@pytest.mark.parametrize("data", NO_UTF8)
def test_bytes_that_are_no_utf8_are_refused_with_their_place(data: bytes, tmp_path: Path):
    (tmp_path / "a.txt").write_bytes(OTHERS + data)
    place = rf"byte 0x{data[0]:02X} at offset {len(OTHERS):,}"
    with pytest.raises(UserError, match=rf"a.txt is not UTF-8: {place}\. Line [0-9,]+ has it in "):
        prepare(DataConfig(source=str(tmp_path / "a.txt")), BPE, VOCAB, progress=False)


MEGABYTE = 1_000_000
MEASURED = """
import sys
from talewright.cli import main
main(sys.argv[1:])
print(open("/proc/self/status").read(), file=sys.stderr)
"""
"""A command that says what it held at the most. The system's own figure for a child counts what its parent held when it
was made."""
HUGE = {"words": "Once upon a time there was a dog. ", "no blank": "ab", "emoji": "😀é"}


@pytest.mark.slow
@pytest.mark.parametrize("what", HUGE)
def test_a_line_of_100_megabytes_takes_less_than_a_gigabyte(what: str, tmp_path: Path):
    """In a process of its own, whose memory is then known. Whole, such a text took the tokenizers library 10 GB."""
    text = HUGE[what]
    with (tmp_path / "a.txt").open("w", encoding="utf-8") as file:
        file.write(OTHERS.decode())
        for _ in range(100):
            file.write(text * (MEGABYTE // len(text.encode())))
    if not Path("/proc/self/status").exists():
        pytest.skip("this system does not say how much memory a process held")
    command = [
        "data",
        "prepare",
        "--json",
        "--data",
        "a.txt",
        "--out",
        "made",
        "--data.splits=[1, 0]",
        "--model.vocab-size",
        "400",
    ]
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, *command], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["splits"]["train"]["stories"] == 31
    taken = int(done.stderr.rsplit("VmHWM:", 1)[1].split()[0])  # KiB
    print(f"{what}: {taken >> 10} MiB")
    assert taken < 1 << 20
