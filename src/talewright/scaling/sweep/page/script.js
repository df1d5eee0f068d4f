// Draws a chart of runs against another cost.
(() => {
  const replaced = (value, before, after) => {
    if (value === before) return after;
    if (Array.isArray(value)) return value.map((each) => replaced(each, before, after));
    if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, replaced(v, before, after)]));
    return value;
  };
  const withCost = ({ encoding, layer, ...rest }, before, after, title) => ({
    ...rest,
    encoding: { ...encoding, x: { ...replaced(encoding.x, before, after), title } },
    layer: layer.map(({ transform, encoding: own, ...mark }) => ({
      ...mark,
      ...(transform && { transform: replaced(transform, before, after) }),
      encoding: { ...own, ...(own.order && { order: replaced(own.order, before, after) }) },
    })),
  });
  document.querySelectorAll(".costed").forEach((section) => {
    const figure = section.querySelector("figure.chart"), original = JSON.parse(figure.dataset.chart);
    const first = section.querySelector("input:checked").value;
    section.addEventListener("change", ({ target }) => {
      redrawChart(figure, withCost(original, first, target.value, target.parentElement.textContent.trim()));
    });
  });
})();
