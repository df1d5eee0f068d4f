if (data.story) {
  const detail = $("expected"), lens = $("lens");
  const show = (i) => {
    const token = data.story[i];
    const came = Math.exp(-token.loss);
    detail.replaceChildren(
      heading(`“${visible(token.t)}” had probability ${percent(came)}, rank ${token.rank.toLocaleString()}: a loss of ${token.loss.toFixed(2)}`),
      bars(token.top));
    lens.replaceChildren(
      heading("Prediction after each layer"),
      bars(token.lens.map(([word, p], layer) => [word, p, (layer ? `after ${layer - 1}: ` : "embedding: ") + visible(word)])));
  };
  const worst = data.story.reduce((best, token, i) => (i < 40 && token.loss > data.story[best].loss ? i : best), 0);
  choosable($("story"), show, worst);
}
