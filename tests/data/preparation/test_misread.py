"""UTF-8 that was read in another encoding: mended wholly, or seen to be damaged; correct text is neither."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from talewright.data.preparation.clean import clean
from talewright.data.preparation.flaws import is_damaged
from talewright.data.preparation.misread import looks_misread, undo_misreading
from tests.data.preparation.test_clean import CORRECT

WESTERN = [
    *(
        "He said “Hi”. It wasn’t me — a café…",
        "‘So,’ said the dog – and ran.",
        "naïve piñata 😀",
        "Élan, à Noël, où? Çà!",
    ),
    *(
        "Le garçon était là, près d’une forêt.",
        "¿Dónde está la niña? ¡Allí!",
        "Ein schönes Mädchen, groß und süß. Äpfel!",
    ),
    *("NÃO! Não, disse o irmão. É a maçã.", "Þetta er íslensk saga, ævintýri.", "Det var en gång en ånd på Åland."),
]
OTHERS = [
    "Жил-был кот, он спал.",
    "日本語のお話です。猫。",
    "Był sobie żółty kot, gęś i ćma.",
    "Güneş doğdu, çocuk güldü.",
]
WORDS = [
    *("He said", "“Hi”.", "It wasn’t me", "—", "a café…", "‘So,’", "the dog", "– and ran.", "naïve", "piñata", "😀"),
    *("garçon", "forêt.", "¿Dónde", "niña?", "¡Allí!", "schönes Mädchen", "groß", "über", "she’d", "two\nlines"),
]
CODECS = ("cp1252", "latin-1", "mac_roman", "cp1250", "cp1251", "cp1253", "cp437", "cp850")


def misread(text: str, codec: str, times: int) -> str:
    for _ in range(times):
        text = "".join(_character(byte, codec) for byte in text.encode())
    return text


def _character(byte: int, codec: str) -> str:
    try:
        return bytes([byte]).decode(codec)
    except UnicodeDecodeError:
        return chr(byte)


@given(
    text=st.lists(st.sampled_from(WESTERN + OTHERS), min_size=1, max_size=4).map(" ".join),
    codec=st.sampled_from(["cp1252", "latin-1"]),
    times=st.integers(1, 3),
)
def test_what_was_misread_as_western_is_mended_wholly(text: str, codec: str, times: int):
    assert clean(misread(text, codec, times)) == (text, True)
    assert not looks_misread(text)


@given(
    text=st.lists(st.sampled_from(WESTERN), min_size=1, max_size=4).map(" ".join),
    codec=st.sampled_from(CODECS),
    times=st.integers(1, 3),
)
def test_what_was_misread_is_mended_wholly_or_looks_damaged(text: str, codec: str, times: int):
    mended = undo_misreading(misread(text, codec, times))
    assert mended == text or looks_misread(mended)


@settings(max_examples=300)
@given(
    text=st.lists(st.sampled_from(WORDS), min_size=1, max_size=6).map(" ".join),
    codec=st.sampled_from(CODECS),
    times=st.integers(1, 3),
)
@example("¿Dónde", "cp850", 2)
@example("“Hi”.", "cp1251", 2)
@example("‘So,’", "cp1253", 2)
@example("😀", "cp1253", 1)
@example("über", "mac_roman", 2)
@example("groß", "cp1250", 2)
def test_a_few_words_that_were_misread_are_mended_or_look_damaged(text: str, codec: str, times: int):
    mended = undo_misreading(misread(text, codec, times))
    assert mended == text or looks_misread(mended)
    assert (undo_misreading(text), looks_misread(text)) == (text, False)


@given(text=st.lists(st.sampled_from(WESTERN[:3]), min_size=1).map(" ".join), codec=st.sampled_from(CODECS))
def test_english_that_was_misread_once_is_mended(text: str, codec: str):
    assert undo_misreading(misread(text, codec, 1)) == text


@given(
    correct=st.lists(st.sampled_from(CORRECT + WESTERN + OTHERS), min_size=1, max_size=3).map(" ".join),
    damaged=st.lists(st.sampled_from(WESTERN), min_size=1, max_size=3).map(" ".join),
    codec=st.sampled_from(CODECS),
    first=st.booleans(),
)
def test_correct_text_beside_damage_stays(correct: str, damaged: str, codec: str, first: bool):
    parts = (correct, misread(damaged, codec, 1)) if first else (misread(damaged, codec, 1), correct)
    mended = undo_misreading("\n".join(parts))
    kept, rest = mended.split("\n") if first else mended.split("\n")[::-1]
    assert kept == correct
    assert rest == damaged or looks_misread(rest)


@given(st.lists(st.sampled_from(CORRECT + WESTERN + OTHERS), min_size=1).map(" ".join))
def test_correct_text_does_not_look_damaged(text: str):
    assert (undo_misreading(text), is_damaged(text)) == (text, False)


@pytest.mark.parametrize(
    ("damaged", "mended"),
    [
        ("â€œNo,â€ he said", "“No,” he said"),  # the last byte of ” was dropped
        ("â€œNo,â€\ufffd he said", "“No,” he said"),
        ("â€œNo.â€? he said", "“No.” he said"),
        ("Ã¢â‚¬Å“No,Ã¢â‚¬Â he said", "“No,” he said"),
        ("PÃ©ter in Ã…land, Â© 2020, 2Ã—3", "Péter in Åland, © 2020, 2×3"),
        ("didnï¿½t", "didn\ufffdt"),
        ("didnÃ¯Â¿Â½t", "didn\ufffdt"),
    ],
)
def test_what_is_mended(damaged: str, mended: str):
    assert undo_misreading(damaged) == mended


@pytest.mark.parametrize(
    "text",
    [
        *(
            "a wordâ€? Yes",
            "voilÃ  la mer",
            "un chÃ teau",
            "Ã  la mer",
            "don鈥檛",
            "He said, âHi, he said",
            "don+IBk-t",
        ),
    ],
)
def test_what_cannot_be_mended_looks_damaged(text: str):
    assert undo_misreading(text) == text
    assert looks_misread(text)


@pytest.mark.parametrize(
    "text",
    [
        *("NÃO SÃO JOÃO", "A IRMû disse", "IRMÂ© e MAÇ™", "Ç’avait Ô…mon À…À…À… É”", "‚Ärger‘, ‚Ähnlich‘", "x = √π r"),
        *(
            "ÐAÐ ER… ÐÆR»",
            "lâ… là »",
            "ніїв країнії Їжак",
            "Ö\xadsterreich, Ü\xadber",
            "L·L, À·",
            "±├──┤ ╔══╗",
            "2 + 2 = 4, A+B-C",
        ),
    ],
)
def test_the_nastiest_correct_texts_stay(text: str):
    assert (undo_misreading(text), looks_misread(text)) == (text, False)
