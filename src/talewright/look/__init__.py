"""One look for every page and picture: colors, type, components, and charts that work offline."""

from talewright.look.charts import HOVER, ZOOM, chart, chart_script, legend_columns
from talewright.look.palette import DARK, LIGHT, SERIES, page_style

__all__ = ["DARK", "HOVER", "LIGHT", "SERIES", "ZOOM", "chart", "chart_script", "legend_columns", "page_style"]
