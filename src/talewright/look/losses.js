// The losses of a run, which may be training: new rows keep what the reader points at, and the switches need no server.
const lossView = (view) => {
  const figure = view.querySelector("figure.chart"), output = view.querySelector("output");
  const log = view.querySelector("[data-log]"), smoothing = view.querySelector("[data-smoothing]");
  let losses = {};

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
    const { training = [], validation = [], baselines = [] } = losses;
    const lines = { training, "training, smoothed": smooth(training, smoothing.value / 100), validation };
    const rows = Object.entries(lines).flatMap(([line, points]) => points.map(([step, loss]) => ({ line, step, loss })));
    view.hidden = rows.length === 0;
    updateChart(figure, { lines: rows, baselines });
  };

  log.addEventListener("change", () => {
    const specification = JSON.parse(figure.dataset.chart);
    specification.encoding.y.scale = log.checked ? { type: "log", nice: false } : { zero: false };
    redrawChart(figure, specification);
  });
  smoothing.addEventListener("input", () => {
    output.textContent = `${smoothing.value} %`;
    smoothing.setAttribute("aria-valuetext", `${smoothing.value} % of the run`);
    show();
  });
  drawCharts(view); // once it is seen
  return (now) => {
    losses = now;
    show();
  };
};
