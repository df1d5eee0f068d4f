"""The figures: one function per panel, used for PNG files and, as SVG, for the report."""
