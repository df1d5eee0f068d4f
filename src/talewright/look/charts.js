// Draws each figure of look.chart in the page's light or dark colors, and again when they change.
(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const mode = () => (document.documentElement.classList.contains("dark") || document.body.classList.contains("dark") || dark.matches ? "dark" : "light");
  const named = (value, colors) => {
    if (typeof value === "string" && value.startsWith("@") && value.slice(1) in colors) return colors[value.slice(1)];
    if (Array.isArray(value)) return value.map((each) => named(each, colors));
    if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, named(v, colors)]));
    return value;
  };
  const draw = (figure) => {
    const now = mode(), specification = named(JSON.parse(figure.dataset.chart), chartPalettes[now]);
    return vegaEmbed(figure.firstElementChild, specification, { mode: "vega-lite", actions: false, renderer: "svg", config: chartThemes[now] });
  };
  // Charts in closed details have no width yet: they are drawn when they come into view.
  const seen = new IntersectionObserver((entries) => entries.forEach((entry) => {
    if (entry.isIntersecting) { seen.unobserve(entry.target); draw(entry.target); }
  }), { rootMargin: "400px" });
  window.drawCharts = (root = document) => root.querySelectorAll("figure.chart").forEach((figure) => seen.observe(figure));
  drawCharts();
  dark.addEventListener("change", () => document.querySelectorAll("figure.chart").forEach((figure) => figure.querySelector("svg") && draw(figure)));
})();
