"""The story studio: one page in the browser that tells stories with a run, sets two beside each other, and shows what
is inside. `library` opens the runs, `telling` shares the machine among the visitors, `page` lays the page out.
"""

from __future__ import annotations

from talewright.studio.serve import find_runs, open_studio, serve

__all__ = ["find_runs", "open_studio", "serve"]
