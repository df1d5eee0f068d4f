if (data.attention) {
  const { tokens, heads, levels } = data.attention;
  const T = tokens.length, square = (T * (T + 1)) / 2;
  const bytes = Uint8Array.from(atob(levels), (c) => c.charCodeAt(0));
  const weight = (head, t, s) => (s > t ? 0 : bytes[head * square + (t * (t + 1)) / 2 + s] / 255);
  const story = $("looking"), spans = [...story.children];
  let head = 0, token = 0;

  const draw = (canvas, h, marked) => {
    canvas.width = canvas.height = T;
    const context = canvas.getContext("2d"), image = context.createImageData(T, T);
    const [r, g, b] = getComputedStyle(document.documentElement).getPropertyValue("--blue-rgb").split(",").map(Number);
    for (let t = 0; t < T; t++) for (let s = 0; s < T; s++) {
      const i = 4 * (t * T + s);
      image.data.set(s > t ? [128, 128, 128, 26] : [r, g, b, 255 * Math.sqrt(weight(h, t, s))], i);
    }
    if (marked !== undefined) for (let s = 0; s < T; s++) if (s > marked) image.data.set([r, g, b, 60], 4 * (marked * T + s));
    context.putImageData(image, 0, 0);
  };
  const name = (h) => `${heads[h].name}` + (heads[h].role === "mixed" ? "" : ` (${heads[h].role})`);
  const show = (t) => {
    token = t;
    spans.forEach((span, s) => span.style.setProperty("--a", Math.sqrt(weight(head, t, s)).toFixed(3)));
    draw($("map"), head, t);
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
    button.title = `Layer.head ${name(h)}`;
    label.textContent = each.name;
    button.append(canvas, label);
    button.addEventListener("click", () => pick(h));
    box.append(button);
  });
  const paint = () => { [...box.querySelectorAll("canvas")].forEach((canvas, h) => draw(canvas, h)); again(); };
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
