"""Hooks of MkDocs (see mkdocs.yml): pages that are made while the site is built, links, and diagrams."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from website.commands import commands_page
from website.diagram import draw_diagrams
from website.links import linked_sources, rewritten, source_page

ROOT = Path(__file__).parents[1]
TOP_PAGES = ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
"""Pages at the top of the repository, where people look for them, that are pages of the site too."""
SEARCH = 'data-md-component="search" role="dialog"'


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that do not lie in docs/: commands, pages at the top of the repository, linked source."""
    pages = {name: (ROOT / name).read_text(encoding="utf-8") for name in TOP_PAGES if (ROOT / name).exists()}
    written = [(f"docs/{file.src_uri}", file.content_string) for file in files.documentation_pages()]
    sources = linked_sources([*written, *pages.items()], ROOT)
    pages |= {f"source/{path}.md": source_page(path, ROOT) for path in sources}
    pages["commands.md"] = commands_page()
    for name, content in pages.items():
        files.append(File.generated(config, name, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Lead links out of docs/ to pages of the site, and draw the diagrams."""
    name = page.file.src_uri
    if name.startswith("source/"):
        return markdown
    return draw_diagrams(rewritten(markdown, name if name in TOP_PAGES else f"docs/{name}", ROOT))


def on_post_page(output: str, **_: Any) -> str:
    """Give the search dialog of the theme the name that a screen reader needs."""
    return output.replace(SEARCH, f'{SEARCH} aria-label="Search"')
