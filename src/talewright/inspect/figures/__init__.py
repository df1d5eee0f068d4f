"""What is drawn: one function for each panel, used for the PNG files and, as SVG, for the report."""
