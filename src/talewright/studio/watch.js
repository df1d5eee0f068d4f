// The loss chart: new rows keep what the reader points at; the switches are applied here, without the server.
const figure = element.querySelector("figure.chart");
const log = element.querySelector("[data-log]"), smoothing = element.querySelector("[data-smoothing]");

/** The mean over this share of the points around each; near the ends, over as many as there are on both sides. */
const smooth = (points, share) => {
  const side = Math.floor((points.length * share) / 2), sums = [0];
  for (const [, loss] of points) sums.push(sums[sums.length - 1] + loss);
  return points.map(([step], i) => {
    const reach = Math.min(side, i, points.length - 1 - i);
    return [step, (sums[i + reach + 1] - sums[i - reach]) / (2 * reach + 1)];
  });
};

const show = () => {
  const { training = [], validation = [] } = props.value ?? {};
  const lines = { training, "training, smoothed": smooth(training, smoothing.value / 100), validation };
  const losses = Object.entries(lines).flatMap(([line, points]) => points.map(([step, loss]) => ({ line, step, loss })));
  if (losses.length && !figure.dataset.seen) {
    figure.dataset.seen = "yes";
    drawCharts(element);
  }
  updateChart(figure, { losses });
};

watch("value", show);
log.addEventListener("change", () => {
  const specification = JSON.parse(figure.dataset.chart);
  specification.encoding.y.scale.type = log.checked ? "log" : "linear";
  figure.dataset.chart = JSON.stringify(specification);
  redrawChart(figure);
});
smoothing.addEventListener("input", () => {
  element.querySelector("output").textContent = `${smoothing.value} %`;
  smoothing.setAttribute("aria-valuetext", `${smoothing.value} % of the run`);
  show();
});
show();
