"""Links of pages, in the repository and on the site."""

from __future__ import annotations

from pathlib import Path

import pytest

from website.links import heading_anchor, linked_sources, rewritten, site_page, source_page


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("docs/data.md", "docs/tutorial/index.md", "CHANGELOG.md", "README.md", "src/gpt.py", "jobs/train.sh"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"text of {name}\n")
    return tmp_path


@pytest.mark.parametrize(
    ("page", "link", "expected"),
    [
        ("docs/data.md", "tutorial/index.md", "tutorial/index.md"),
        ("docs/data.md", "../src/gpt.py#L12", "source/src/gpt.py.md"),
        ("docs/tutorial/index.md", "../../src/gpt.py", "../source/src/gpt.py.md"),
        ("docs/data.md", "../jobs", "source/jobs.md"),
        ("docs/data.md", "../CHANGELOG.md#a--b", "CHANGELOG.md#a-b"),
        ("docs/tutorial/index.md", "../../README.md#start", "../index.md"),
        ("CHANGELOG.md", "docs/data.md#cleaning", "data.md#cleaning"),
        ("docs/data.md", "#2026-11-21--scores", "#2026-11-21-scores"),
        ("docs/data.md", "https://example.org/a--b", "https://example.org/a--b"),
        ("docs/data.md", "../src/missing.py", "../src/missing.py"),
    ],
)
def test_a_link_leads_to_the_page_of_the_site(root: Path, page: str, link: str, expected: str) -> None:
    assert rewritten(f"See [here]({link}).", page, root) == f"See [here]({expected})."


def test_every_linked_file_outside_docs_gets_a_page_and_no_other(root: Path) -> None:
    pages = [
        ("docs/data.md", "[a](../src/gpt.py) [b](tutorial/index.md) [c](../CHANGELOG.md) [d](../src/missing.py)"),
        ("CHANGELOG.md", "[e](jobs/train.sh) [f](README.md) [g](https://example.org)"),
    ]
    assert linked_sources(pages, root) == {"src/gpt.py", "jobs/train.sh"}


def test_nothing_outside_the_repository_is_shown(root: Path) -> None:
    (root.parent / "secret.txt").write_text("secret")
    assert site_page("../secret.txt", root) is None
    assert linked_sources([("docs/data.md", "[a](../../secret.txt)")], root) == set()


def test_a_source_page_holds_the_whole_file_even_with_fences_in_it(root: Path) -> None:
    text = 'x = """\n````\nnot the end\n````\n"""'
    (root / "src/gpt.py").write_text(text + "\n")
    page = source_page("src/gpt.py", root)
    assert f"\n`````python\n{text}\n`````\n" in page
    assert "train.sh" in source_page("jobs", root)


def test_anchors_are_those_of_github_with_one_separator_between_words() -> None:
    assert heading_anchor("What `torch.compile` does, and when", "-") == "what-torchcompile-does-and-when"
    assert heading_anchor("2026-11-21  Größe - a_b", "-") == "2026-11-21-größe-a_b"
