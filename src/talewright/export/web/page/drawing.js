// What both views draw with: the palette's colors, the text of a token, and groups of buttons with one tab stop.

/** A color of look.css by its name, as [red, green, blue]. */
export function color(name) {
  const hex = getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  return [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
}

/** The color at `share` (0 to 1) of the way from one to the other. */
export function between(from, to, share) {
  return from.map((value, i) => Math.round(value + (to[i] - value) * Math.min(1, Math.max(0, share))));
}

/** A background of up to half a color, so that text on it stays readable. */
export function shade(name, share) {
  return `rgb(${between(color("card"), color(name), share / 2)})`;
}

/** Call `draw` when the colors change between light and dark. */
export function onTheme(draw) {
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
}

/** A token as one can see it: its spaces kept, its line breaks marked. `text` is "" for a token without text. */
export function visible(text) {
  return text === "" ? "⟨end⟩" : text.replaceAll("\n", "↵").replaceAll(" ", "\u00a0");
}

export function percent(share) {
  return share > 0 && share < 0.01 ? "<1\u00a0%" : `${Math.round(100 * share)}\u00a0%`;
}

/** An element with these properties; those of `style` and of `aria` (without "aria-") are objects. */
export function make(tag, { style = {}, aria = {}, ...properties } = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  Object.assign(made.style, style);
  for (const [name, value] of Object.entries(aria)) made.setAttribute(`aria-${name}`, value);
  made.append(...children);
  return made;
}

/** One tab stop for the group's buttons (those that match); arrow keys, Home and End move between them. */
export function oneTabStop(group, match) {
  const buttons = () => [...group.querySelectorAll(match)];
  group.addEventListener("keydown", (event) => {
    const all = buttons();
    const at = all.indexOf(event.target);
    const to = { ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1, Home: 0, End: all.length - 1 }[event.key];
    if (at < 0 || to === undefined) return;
    event.preventDefault();
    all[Math.min(all.length - 1, Math.max(0, to))].focus();
  });
  group.addEventListener("focusin", ({ target }) => {
    if (target.matches(match)) for (const button of buttons()) button.tabIndex = button === target ? 0 : -1;
  });
}
