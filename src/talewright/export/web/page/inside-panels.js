// The panels of the look inside, but for attention: tokens, next token, residual stream, logit lens.

import { between, color, make, oneTabStop, percent, shade, visible } from "./drawing.js";
import { expected } from "./sampler.js";

const CANDIDATES = 10;
const element = (id) => document.getElementById(id);
const quoted = (text) => `“${visible(text)}”`;
const bare = (text) => visible(text).trim() || "␣"; // without the space before a word

/** A canvas with one cell per value: blue above 0, orange below, strongest at the largest of them. */
function strip(values) {
  const canvas = make("canvas", { className: "strip", width: values.length, height: 1, aria: { hidden: "true" } });
  const [card, above, below] = [color("card"), color("blue"), color("orange")];
  const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0) || 1;
  const pixels = new ImageData(values.length, 1);
  values.forEach((value, i) => pixels.data.set([...between(card, value < 0 ? below : above, Math.abs(value) / largest), 255], 4 * i));
  canvas.getContext("2d").putImageData(pixels, 0, 0);
  return canvas;
}

/** choose: receives the index of a token that is clicked. */
export function initTokens(choose) {
  oneTabStop(element("tokens"), "button");
  oneTabStop(element("candidates"), "button");
  element("tokens").onclick = ({ target }) => {
    const button = target.closest("button");
    if (button) choose([...element("tokens").children].indexOf(button));
  };
}

/** attention: of the token at `at` to each token up to it. */
export function drawTokens(tokens, at, embeddings, attention) {
  const group = element("tokens");
  const focused = [...group.children].indexOf(document.activeElement);
  const width = embeddings.length / (at + 1);
  group.replaceChildren(
    ...tokens.map((text, i) => {
      const read = i <= at;
      const label = `${quoted(text)}, token ${i + 1}${read ? `, attention ${percent(attention[i])}` : ", not read yet"}`;
      const button = make("button", { type: "button", className: read ? "token" : "token unread", tabIndex: i === at ? 0 : -1, aria: { label } });
      if (i === at) button.setAttribute("aria-current", "true");
      button.append(make("span", { textContent: bare(text) }));
      if (read) {
        button.style.backgroundColor = shade("blue", attention[i]);
        button.append(strip(embeddings.slice(i * width, (i + 1) * width)));
      }
      return button;
    }),
  );
  if (focused >= 0) group.children[Math.min(focused, tokens.length - 1)].focus();
}

/** The most likely next tokens, as a text, after drawing their bars: `kept` is what the settings leave of the model's own
 *  probabilities; `next`: the token that follows; choose: receives the one that is clicked. */
export function drawCandidates({ raw, kept, next, texts, ended }, choose) {
  const { top, logTotal } = expected(raw, CANDIDATES);
  if (!top.some(([id]) => id === next)) top.push([next, Math.exp(raw[next] - logTotal)]);
  const shares = new Map(kept.kept.map((id, n) => [id, kept.weights[n] / kept.total]));
  const focused = document.activeElement?.dataset?.id;
  element("candidates").replaceChildren(
    ...top.map(([id, own], i) => {
      const share = shares.get(id) ?? 0;
      const state = share === 0 ? ", left out" : "";
      const label = `${quoted(texts[id])}: ${percent(own)} by the model, ${percent(share)} with these settings${state}`;
      const button = make("button", { type: "button", className: "candidate", disabled: ended, tabIndex: i ? -1 : 0, aria: { label }, onclick: () => choose(id) });
      button.dataset.id = id;
      const bars = make("span", { className: "bars" }, make("span", { className: "own", style: { width: `${100 * own}%` } }), make("span", { style: { width: `${100 * share}%` } }));
      button.append(make("span", { className: "text", textContent: visible(texts[id]) }), bars, make("span", { textContent: percent(own) }), make("span", { textContent: share ? percent(share) : "–" }));
      if (id === next) button.setAttribute("aria-current", "true");
      return button;
    }),
  );
  if (focused !== undefined) element("candidates").querySelector(`[data-id="${focused}"]`)?.focus();
  const number = kept.kept.length.toLocaleString("en");
  element("next-text").textContent = `First, in grey: the probability that the model gives. Second, in green: what the next token is sampled from, as these settings leave ${number} of ${raw.length.toLocaleString("en")} tokens. The framed one comes next; choose another to continue with that.`;
  return top.slice(0, 2).map(([id, own]) => `${quoted(texts[id])} ${percent(own)}`).join(", ");
}

export function drawStream({ embeddings, layers, count }) {
  const width = embeddings.length / count;
  const rows = [["Embedding", embeddings.slice(-width), "stream"]];
  for (const [i, { attention, mlp, stream }] of layers.entries()) {
    rows.push([`+ attention ${i}`, attention, "part"], [`+ feed-forward ${i}`, mlp, "part"], [`After layer ${i}`, stream, "stream"]);
  }
  const norm = (values) => Math.hypot(...values);
  const largest = Math.max(...rows.map(([, values]) => norm(values)));
  const row = ([name, values, kind]) => {
    const bar = make("span", { className: "norm", style: { width: `${(100 * norm(values)) / largest}%` } });
    const cells = [make("th", { scope: "row", textContent: name }), make("td", {}, strip(values)), make("td", {}, bar), make("td", { textContent: norm(values).toFixed(1) })];
    return make("tr", { className: kind }, ...cells);
  };
  element("stream-text").textContent = `The vector of ${width} numbers that the layers read and add to, at the framed token. The bars are norms (lengths); the colors of each strip are relative to its largest value.`;
  element("stream").replaceChildren(head("Where", "Values", "Norm", ""), make("tbody", {}, ...rows.map(row)));
}

export function drawLens(lens, texts) {
  const row = (logits, i) => {
    const cells = expected(logits).top.map(([id, share]) => {
      const cell = make("td", { style: { backgroundColor: shade("blue", share) } });
      cell.append(make("span", { textContent: bare(texts[id]) }), " ", make("small", { textContent: percent(share) }));
      return cell;
    });
    return make("tr", {}, make("th", { scope: "row", textContent: i ? `Layer ${i - 1}` : "Embedding" }), ...cells);
  };
  element("lens").replaceChildren(head("After", "1st", "2nd", "3rd", "4th", "5th"), make("tbody", {}, ...lens.map(row)));
}

function head(...names) {
  const cells = names.map((name) => make(name ? "th" : "td", name ? { scope: "col", textContent: name } : {}));
  return make("thead", {}, make("tr", {}, ...cells));
}
