// Word by word: each generated token shaded by its surprise, and what else the model expected in its place.

import { make, onTheme, oneTabStop, percent, shade, visible } from "./drawing.js";

const MOST = 6; // nats at which a token has the strongest color, as in `talewright inspect`'s report
const element = (id) => document.getElementById(id);

/** The tokens of the story on the page: {piece, surprise, top}. */
let tokens = [];
let on = false;

/** Begin a new story, or show the tokens of another. */
export function restart(list) {
  tokens = list;
  draw();
}

/** Append a token to the page's story. */
export function append(token) {
  tokens.push(token);
  element("generated").append(on ? button(token) : token.piece);
}

function draw() {
  const shown = on && tokens.length > 0;
  element("words").hidden = !shown;
  element("by-word").setAttribute("aria-pressed", String(on));
  element("generated").replaceChildren(...(on ? tokens.map(button) : [tokens.map(({ piece }) => piece).join("")]));
  const first = element("generated").querySelector("[role=button]");
  if (first) first.tabIndex = 0;
}

function button(token) {
  if (token.piece === "") return make("span"); // part of a character, which the next token shows
  const made = make("span", {
    textContent: token.piece,
    tabIndex: -1,
    style: { backgroundColor: shade("orange", token.surprise / MOST) },
    onclick: () => explain(made, token),
  });
  made.setAttribute("role", "button");
  made.setAttribute("aria-pressed", "false");
  if (token.piece.trim() === "") made.setAttribute("aria-label", token.piece.includes("\n") ? "line break" : "space");
  return made;
}

function explain(chosen, { piece, surprise, top }) {
  for (const each of element("generated").querySelectorAll("[aria-pressed=true]")) each.setAttribute("aria-pressed", "false");
  chosen.setAttribute("aria-pressed", "true");
  const expected = top.flatMap(([text, share], i) => [i ? ", " : "", make("b", { textContent: `“${visible(text)}”` }), ` ${percent(share)}`]);
  const own = make("b", { textContent: `“${visible(piece)}”` });
  element("word").replaceChildren(own, `: probability ${percent(Math.exp(-surprise))}, surprise ${surprise.toFixed(1)} nats. Most likely here: `, ...expected, ".");
}

element("by-word").onclick = () => {
  on = !on;
  draw();
};
element("generated").addEventListener("keydown", (event) => {
  if ((event.key === "Enter" || event.key === " ") && event.target.matches("[role=button]")) {
    event.preventDefault();
    event.target.click();
  }
});
oneTabStop(element("generated"), "[role=button]");
onTheme(draw);
