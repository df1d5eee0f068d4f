if (data.story) {
  const detail = $("expected"), lens = $("lens");
  // Which parts pushed the score of the token up (blue), and which held it back (orange).
  const signed = (value) => (value < 0 ? "−" : "+") + Math.abs(value).toFixed(2);
  const by = (push) => (push ? `most by ${push[0]} (${signed(push[1])})` : "by no part");
  const showPushes = ({ up, down, top }) => {
    const most = Math.abs(top[0][1]) || 1, box = bars(top.map(([part, value]) => [part, Math.abs(value) / most]));
    box.querySelectorAll("i").forEach((bar, n) => bar.classList.toggle("against", top[n][1] < 0));
    box.querySelectorAll("u").forEach((text, n) => { text.textContent = signed(top[n][1]); });
    $("pushes").replaceChildren(heading(`Pushed up ${by(up)}, held back ${by(down)}`), box);
  };
  const show = (i) => {
    if (data.pushes) showPushes(data.pushes[i]);
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
