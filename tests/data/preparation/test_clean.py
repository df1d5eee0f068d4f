from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talewright.data.preparation.clean import clean

# As it stands in stories of several languages, the nastiest for a repair among them: a capital letter with a tilde, a
# circumflex or a ring before a sign, which is also how damage looks.
CORRECT = [
    "“It’s mine,” she said – and ran… “No!”",
    "‘Quoted’ and ‹quoted› and «quoted» and „quoted“",
    "É A IRMÃ—disse ele. A IRMû disse, «MAÇû e “MAÇÔ.",
    "SÃO JOÃO, AVIÃO, NÃO! PÂNICO. Ânimo às mães",
    "Oh lâ… dit-il. Château, forêt, à Â « là »",
    "Það var einu sinni stúlka. ÐAÐ ER ÐÆR",
    "Ngày xửa ngày xưa, MÃ LAI, ÂM NHẠC, Ă Â Ê",
    "Übergröße, Straße, Ärger, ÖL, € 5, 20 °C, ½, £5, © 2020",
    "Det var en gång … ÅL på Åland, 5 € – 10 €",
    "日本語のお話。", "كان يا ما كان", "היה היה", "😀🎉 👩‍👩‍👧", "naïve café, piñata, coöperate",
    "It's \"plain\" -- text. a's",
]  # fmt: skip
LEADS = "\0\r" + "".join(map(chr, range(0xC2, 0xF5))) + "Ăđ\xad"  # what damage begins with
DAMAGEABLE = st.lists(
    st.sampled_from(
        ["It’s", "“Hello,”", "she said", "– no —", "wait…", "‘so’", "café", "piñata", "😀", "fun", "naïve", "crème"]
    ),
    min_size=1,
).map(" ".join)


def damaged(text: str) -> str:
    """Read as Windows-1252, by the table of the Unicode consortium, where it leaves a byte out by itself."""
    return "".join(
        bytes([b]).decode("cp1252") if b not in (0x81, 0x8D, 0x8F, 0x90, 0x9D) else chr(b) for b in text.encode()
    )


@given(DAMAGEABLE)
def test_damage_done_by_windows_1252_is_undone(text: str):
    assert clean(damaged(text)) == (text, not text.isascii())


@given(st.lists(st.sampled_from(["“”‘’–—…", "a", "b,"]), min_size=1).map(" ".join))
def test_damage_done_twice_to_quotation_marks_is_undone(text: str):
    assert clean(damaged(damaged(text)))[0] == text


@given(st.lists(st.sampled_from(CORRECT), min_size=1).map(" ".join))
def test_correct_text_is_not_changed(text: str):
    assert clean(text) == (text, False)


@given(
    st.text(
        alphabet=st.characters(max_codepoint=0x24F, exclude_characters=LEADS)
        | st.characters(min_codepoint=0x3040, exclude_categories=["Cs", "Co"])
    )
)
def test_text_without_the_signs_of_damage_only_loses_blanks_at_its_ends(text: str):
    expected = text.strip()
    while expected.startswith("\ufeff"):
        expected = expected[1:].lstrip()
    assert clean(text) == (expected, False)


@given(st.text() | st.text(alphabet="âÃÂðï€™œ\x9d\x80„¢‚¬Ÿ˜»¿éx \r\n\0\ufeff\ud83d\ude00"))
def test_cleaning_what_is_clean_changes_nothing(text: str):
    once = clean(text)[0]
    assert clean(once) == (once, False)
    once.encode("utf-8")


@pytest.mark.parametrize(
    ("dirty", "expected", "repaired"),
    [
        ("one\r\ntwo\rthree\n", "one\ntwo\nthree", False),
        ("\ufeffOnce", "Once", False),
        ("ï»¿Once", "Once", False),
        ("On\0ce", "Once", True),
        ("â€œNo,â€ he said", "“No,” he said", True),  # the last byte of ” was dropped
        ("half \ud83d a pair", "half \ufffd a pair", True),
        ("two halves \ud83d\ude00", "two halves 😀", True),
        (" \n\t ", "", False),
    ],
)
def test_what_cleaning_does(dirty: str, expected: str, repaired: bool):
    assert clean(dirty) == (expected, repaired)
