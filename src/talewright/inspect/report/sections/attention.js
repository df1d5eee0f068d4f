if (data.attention) {
  const { tokens, heads, levels } = data.attention;
  const T = tokens.length, square = (T * (T + 1)) / 2;
  const bytes = Uint8Array.from(atob(levels), (c) => c.charCodeAt(0));
  const weight = (head, t, s) => (s > t ? 0 : bytes[head * square + (t * (t + 1)) / 2 + s] / 255);
  const story = $("looking"), spans = [...story.children];
  let head = 0, token = 0;

  const color = () => {
    const hex = getComputedStyle(document.documentElement).getPropertyValue("--blue").trim();
    return [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
  };
  // A head's pattern: its first `size` tokens, in opacities of blue that follow the square root of the share.
  const draw = (canvas, h, { size = T, scaled = false, marked = -1 } = {}) => {
    canvas.width = canvas.height = size;
    const context = canvas.getContext("2d"), image = context.createImageData(size, size), [r, g, b] = color();
    for (let t = 0; t < size; t++) {
      let most = scaled ? 1 / 255 : 1;
      if (scaled) for (let s = 0; s <= t; s++) most = Math.max(most, weight(h, t, s));
      for (let s = 0; s < size; s++) {
        const cell = s <= t ? [r, g, b, 255 * Math.sqrt(weight(h, t, s) / most)] : t === marked ? [r, g, b, 60] : [128, 128, 128, 26];
        image.data.set(cell, 4 * (t * size + s));
      }
    }
    context.putImageData(image, 0, 0);
  };
  const name = (h) => `${heads[h].name}` + (heads[h].role === "mixed" ? "" : ` (${heads[h].role})`);
  const show = (t) => {
    token = t;
    spans.forEach((span, s) => span.style.setProperty("--a", Math.sqrt(weight(head, t, s)).toFixed(3)));
    draw($("map"), head, { marked: t });
    $("map-title").textContent = `Head ${name(head)}`;
    const best = (h) => { let s = 0; for (let i = 1; i <= t; i++) if (weight(h, t, i) > weight(h, t, s)) s = i; return s; };
    const rows = heads.map((_, h) => [h, best(h)]).sort((a, b) => weight(b[0], t, b[1]) - weight(a[0], t, a[1])).slice(0, 16);
    $("most").replaceChildren(
      heading(`From “${visible(tokens[t])}”, each head attends most to`),
      bars(rows.map(([h, s]) => [tokens[s], weight(h, t, s), `${heads[h].name}: ${visible(tokens[s])}`])));
  };
  const again = choosable(story, show, Math.min(T - 1, 24));
  const box = $("heads");
  const pick = (h) => {
    head = h;
    [...box.children].forEach((button, i) => button.setAttribute("aria-pressed", String(i === h)));
    again();
  };
  heads.forEach((each, h) => {
    const button = document.createElement("button"), canvas = document.createElement("canvas"), label = document.createElement("span");
    label.textContent = each.role === "mixed" ? each.name : `${each.name} · ${each.role}`;
    button.append(canvas, label);
    button.addEventListener("click", () => pick(h));
    box.append(button);
  });
  const paint = () => { [...box.querySelectorAll("canvas")].forEach((canvas, h) => draw(canvas, h, { size: Math.min(T, 32), scaled: true })); again(); };
  pick(heads.reduce((best, each, h) => (each.rise > heads[best].rise ? h : best), 0)); // the most important
  paint();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);
  const at = (event) => {
    const area = $("map").getBoundingClientRect();
    return [event.clientY - area.top, event.clientX - area.left].map((p) => Math.min(T - 1, Math.max(0, Math.floor((p / area.width) * T))));
  };
  $("map").addEventListener("pointermove", (event) => {
    const [t, s] = at(event);
    $("cell").textContent = s > t ? `“${visible(tokens[t])}” comes before “${visible(tokens[s])}” and cannot attend to it`
      : `“${visible(tokens[t])}” attends to “${visible(tokens[s])}”: ${percent(weight(head, t, s))}`;
  });
  $("map").addEventListener("click", (event) => spans[at(event)[0]].click());
}
