// The attention of every head: one small map each, and the chosen one large, with its tokens.

import { between, color, make, oneTabStop, percent, visible } from "./drawing.js";

const LABELS = 72; // CSS pixels for the labels of a map whose cells are large enough for them
const LEAST = 13; // CSS pixels of such a cell
const KEYS = 5;
const element = (id) => document.getElementById(id);

export class Heads {
  /** shape: {layers, heads}; chosen: called when another head is chosen. */
  constructor({ layers, heads }, chosen) {
    Object.assign(this, { layers, heads, layer: 0, head: 0 });
    const button = (layer, head) => {
      const made = make("button", { type: "button", tabIndex: layer + head ? -1 : 0, aria: { pressed: String(layer + head === 0) } });
      made.append(make("canvas", { aria: { hidden: "true" } }), make("span", { textContent: `${layer}.${head}` }));
      made.onclick = () => {
        [this.layer, this.head] = [layer, head];
        this.choose();
        chosen();
      };
      return made;
    };
    const rows = Array.from({ length: layers }, (_, layer) =>
      make("div", { className: "layer" }, ...Array.from({ length: heads }, (_, head) => button(layer, head))),
    );
    element("heads").replaceChildren(...rows);
    oneTabStop(element("heads"), "button");
    element("head-map").onpointermove = (event) => this.point(event);
    new ResizeObserver(() => this.patterns && this.drawLarge()).observe(element("head-map"));
  }

  /** seen: what the worker computed; tokens: the whole text's. */
  draw(seen, tokens) {
    Object.assign(this, { patterns: seen.layers.map(({ pattern }) => pattern), count: seen.count, tokens });
    for (const [i, button] of element("heads").querySelectorAll("button").entries()) {
      const [layer, head] = [Math.floor(i / this.heads), i % this.heads];
      const [key, weight] = this.strongest(layer, head, 1)[0];
      paint(button.querySelector("canvas"), this.map(layer, head), this.count);
      button.setAttribute("aria-label", `Head ${layer}.${head}: mostly “${visible(tokens[key])}”, ${percent(weight)}`);
    }
    this.choose();
  }

  /** Of the last token to each, in the chosen head: (T). */
  attention() {
    return this.map(this.layer, this.head).slice(-this.count);
  }

  /** (T, T): a row for each token that attends. */
  map(layer, head) {
    const size = this.count ** 2;
    return this.patterns[layer].subarray(head * size, (head + 1) * size);
  }

  /** The tokens that the last one attends to most: [index, weight] each. */
  strongest(layer, head, number) {
    const row = [...this.map(layer, head).slice(-this.count).entries()];
    return row.sort(([, a], [, b]) => b - a).slice(0, number);
  }

  choose() {
    for (const [i, button] of element("heads").querySelectorAll("button").entries()) {
      button.setAttribute("aria-pressed", String(i === this.layer * this.heads + this.head));
    }
    const here = visible(this.tokens[this.count - 1]);
    element("head-title").textContent = `Head ${this.layer}.${this.head}: what “${here}” attends to`;
    element("head-keys").replaceChildren(
      ...this.strongest(this.layer, this.head, KEYS).map(([key, weight]) => make("li", {}, make("b", { textContent: `“${visible(this.tokens[key])}”` }), ` ${percent(weight)}`)),
    );
    this.drawLarge();
  }

  drawLarge() {
    const canvas = element("head-map");
    const [size, scale] = [canvas.clientWidth, devicePixelRatio || 1];
    if (size === 0) return; // the view is hidden
    canvas.width = canvas.height = size * scale;
    const context = canvas.getContext("2d");
    context.scale(scale, scale);
    const labeled = (size - LABELS) / this.count >= LEAST;
    this.margin = labeled ? LABELS : 0;
    this.cell = (size - this.margin) / this.count;
    const small = paint(document.createElement("canvas"), this.map(this.layer, this.head), this.count);
    context.imageSmoothingEnabled = false;
    context.drawImage(small, this.margin, this.margin, size - this.margin, size - this.margin);
    context.strokeStyle = `rgb(${color("accent")})`;
    context.lineWidth = 2;
    context.strokeRect(this.margin + 1, size - this.cell, size - this.margin - 2, this.cell - 1); // the last token
    if (labeled) this.label(context);
  }

  label(context) {
    context.fillStyle = `rgb(${color("ink")})`;
    context.font = `12px ${getComputedStyle(document.body).fontFamily}`;
    context.textAlign = "right";
    context.textBaseline = "middle";
    for (let i = 0; i < this.count; i++) {
      const text = visible(this.tokens[i]).trim().slice(0, 9);
      const middle = this.margin + (i + 0.5) * this.cell;
      context.fillText(text, this.margin - 6, middle);
      context.save();
      context.translate(middle, this.margin - 6);
      context.rotate(Math.PI / 2);
      context.fillText(text, 0, 0);
      context.restore();
    }
  }

  point({ offsetX, offsetY }) {
    const [key, query] = [offsetX, offsetY].map((at) => Math.floor((at - this.margin) / this.cell));
    if (key < 0 || query < 0 || key > query || query >= this.count) return;
    const weight = this.map(this.layer, this.head)[query * this.count + key];
    element("head-cell").textContent = `“${visible(this.tokens[query])}” attends to “${visible(this.tokens[key])}”: ${percent(weight)}`;
  }
}

/** A pixel for each weight of a map (T, T). */
function paint(canvas, map, count) {
  canvas.width = canvas.height = count;
  const [card, blue] = [color("card"), color("blue")];
  const pixels = new ImageData(count, count);
  map.forEach((weight, i) => pixels.data.set([...between(card, blue, weight), 255], 4 * i));
  canvas.getContext("2d").putImageData(pixels, 0, 0);
  return canvas;
}
