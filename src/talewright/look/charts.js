// Draws each figure of look.chart in the page's light or dark colors, and again when they change.
(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const mode = () => (document.documentElement.classList.contains("dark") || document.body.classList.contains("dark") || dark.matches ? "dark" : "light");
  const named = (value, colors) => {
    if (typeof value === "string" && value.startsWith("@") && value.slice(1) in colors) return colors[value.slice(1)];
    if (Array.isArray(value)) return value.map((each) => named(each, colors));
    const data = (key) => key === "values" || key === "datasets"; // a token may be called "@blue"
    if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, data(k) ? v : named(v, colors)]));
    return value;
  };
  const views = new WeakMap();
  const draw = async (figure) => {
    const now = mode(), text = figure.dataset.chart, specification = named(JSON.parse(text), chartPalettes[now]);
    const { view } = await vegaEmbed(figure.firstElementChild, specification, { mode: "vega-lite", actions: false, renderer: "svg", config: chartThemes[now] });
    view.addSignalListener("width", () => view.runAsync()); // a legend then may need more rows, and the chart less height
    await view.runAsync();
    views.set(figure, view);
    if (figure.dataset.chart !== text) await draw(figure);
  };
  // Draws it by another specification.
  window.redrawChart = (figure, specification) => {
    figure.dataset.chart = JSON.stringify(specification);
    return draw(figure);
  };
  // Other rows for the named data sets of a chart; it keeps its zoom and what its legend hides.
  window.updateChart = (figure, datasets) => {
    const specification = JSON.parse(figure.dataset.chart), view = views.get(figure);
    Object.assign(specification.datasets, datasets);
    figure.dataset.chart = JSON.stringify(specification);
    if (!view) return;
    for (const [name, rows] of Object.entries(datasets)) view.data(name, structuredClone(rows));
    view.runAsync();
  };
  // Charts in closed details have no width yet: they are drawn when they come into view.
  const seen = new IntersectionObserver((entries) => entries.forEach((entry) => {
    if (entry.isIntersecting) { seen.unobserve(entry.target); draw(entry.target); }
  }), { rootMargin: "400px" });
  window.drawCharts = (root = document) => root.querySelectorAll("figure.chart").forEach((figure) => seen.observe(figure));
  drawCharts();
  dark.addEventListener("change", () => document.querySelectorAll("figure.chart").forEach((figure) => figure.querySelector("svg") && draw(figure)));
})();
