"""One look for every page and picture: colors, type, components, and charts that work offline."""

from talewright.look.charts import HOVER, ZOOM, chart, chart_script, legend_columns
from talewright.look.lines import LOSS_TITLES, Line, line_chart
from talewright.look.losses import loss_script, loss_view
from talewright.look.palette import DARK, LIGHT, SERIES, page_style

__all__ = [
    "DARK",
    "HOVER",
    "LIGHT",
    "LOSS_TITLES",
    "SERIES",
    "ZOOM",
    "Line",
    "chart",
    "chart_script",
    "legend_columns",
    "line_chart",
    "loss_script",
    "loss_view",
    "page_style",
]
