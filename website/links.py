"""Links of the pages that lead out of docs/: they work in the repository, and on the site as pages of their own.

`docs/training.md` may link to `../src/talewright/train/muon.py` or `../CHANGELOG.md`. The site has a page for every
file that is linked so; a Markdown file at the top of the repository is a page like those of docs/.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

LINK = re.compile(r"(?<=\]\()(?P<path>[^)#\s:]*)(?P<anchor>#[^)\s]*)?(?=\))")
"""The target of a Markdown link, unless it has a scheme (https:)."""
LANGUAGES = {
    ".py": "python",
    ".js": "javascript",
    ".json": "json",
    ".toml": "toml",
    ".yaml": "yaml",
    ".yml": "yaml",
    ".sh": "bash",
    ".sbatch": "bash",
}
HOME = "index.md"


def heading_anchor(heading: str, separator: str) -> str:
    """The anchor of a heading, as GitHub makes it, but with one separator between two words (see `rewritten`)."""
    return re.sub(f"[ {separator}]+", separator, re.sub(r"[^\w -]", "", heading.lower()))


def linked_path(page: str, target: str) -> str:
    """The path in the repository of what a page there links to."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(page), target)) if target else page


def site_page(path: str, root: Path) -> str | None:
    """The page of the site, as a path below docs/, for that path in the repository. None if there is no such file."""
    if path.startswith("..") or not (root / path).exists():
        return None
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    if path == "README.md":
        return HOME  # the home page takes its place
    return f"source/{path}.md" if is_source(path) else path


def is_source(path: str) -> bool:
    """Whether the site shows that file of the repository as it is. README.md is one whose anchors the site lacks."""
    return not path.startswith("docs/") and (not path.endswith(".md") or "/" in path or path == "README.md")


def rewritten(markdown: str, page: str, root: Path) -> str:
    """The page's Markdown with its links out of docs/ led to pages of the site. `page` is a path in the repository."""
    here = site_page(page, root) or page.removeprefix("docs/")

    def lead(match: re.Match[str]) -> str:
        path = linked_path(page, match["path"])
        target = site_page(path, root)
        anchor = re.sub("-+", "-", match["anchor"] or "")
        if target is None or path == page:
            return match["path"] + anchor  # the strict build reports a link that leads nowhere
        return posixpath.relpath(target, posixpath.dirname(here) or ".") + ("" if is_source(path) else anchor)

    return LINK.sub(lead, markdown)


def linked_sources(pages: Iterable[tuple[str, str]], root: Path) -> set[str]:
    """The paths in the repository for which the pages (path and Markdown of each) need a page of source."""
    paths = {linked_path(page, match["path"]) for page, markdown in pages for match in LINK.finditer(markdown)}
    return {path for path in paths if is_source(path) and site_page(path, root) not in (None, HOME)}


def source_page(path: str, root: Path) -> str:
    """A page that shows a file of the repository, or lists a folder. The search does not look into it."""
    file = root / path
    if file.is_dir():
        names = sorted(each.name for each in file.iterdir() if not each.name.startswith((".", "__")))
        text, language = "\n".join(names), "text"
    else:
        text, language = (
            file.read_text(encoding="utf-8").rstrip("\n"),
            LANGUAGES.get(PurePosixPath(path).suffix, "text"),
        )
    fence = "`" * max([2, *(len(run) for run in re.findall("`+", text))]) + "`"
    front = "---\nhide: [navigation, toc]\nsearch: {exclude: true}\n---"
    return f"{front}\n\n# {path}\n\n{fence}{language}\n{text}\n{fence}\n"
