if (data.story) {
  const detail = $("expected"), lens = $("lens");
  // Which parts pushed the score of the token up (blue), and which held it back (orange).
  const pushes = (i) => {
    const push = data.pushes[i], most = Math.abs(push.top[0][1]) || 1;
    const box = bars(push.top.map(([part, value]) => [part, Math.abs(value) / most]));
    box.querySelectorAll("i").forEach((bar, n) => bar.classList.toggle("against", push.top[n][1] < 0));
    box.querySelectorAll("u").forEach((text, n) => {
      const value = push.top[n][1];
      text.textContent = (value < 0 ? "−" : "+") + Math.abs(value).toFixed(2);
    });
    const back = push.down ? `held back most by ${push.down}` : "held back by none";
    $("pushes").replaceChildren(heading(`Pushed up most by ${push.up}, ${back}`), box);
  };
  const show = (i) => {
    if (data.pushes) pushes(i);
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
