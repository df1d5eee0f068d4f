"""The studio: a page in the browser that generates stories with runs, compares them, and shows what is inside.

`registry` opens the runs, `scheduler` shares the machine among the users, `page` lays out the tabs.
"""

from __future__ import annotations

from talewright.studio.serve import find_runs, open_studio, serve

__all__ = ["find_runs", "open_studio", "serve"]
