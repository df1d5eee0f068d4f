() => {
  // Keeps the focus. A button that is disabled, or a word that is drawn again, would send the keyboard and
  // the screen reader to the top of the page; and on a phone a story would begin below the visible part.
  const STARTERS = { stop: ["generate", "story"], "stop-both": ["generate-both", "side-1"] }; // by stop button: its start button, its story
  let held = null; // what had the focus last
  document.addEventListener("focusin", ({ target }) => { held = target; });
  document.addEventListener("pointerdown", () => { held = null; }, true); // a click outside everything: nothing is held

  const part = (id) => document.getElementById(id);
  const usable = (element) => element && element.isConnected && !element.disabled;

  /** What replaces an element that is gone or disabled. */
  const successor = (lost) => {
    const { word, token, open, copy, save } = lost.dataset;
    if (lost.id in STARTERS) return part(STARTERS[lost.id][0]);
    if (open !== undefined) return document.querySelector(`[data-open="${open}"]`);
    if (copy !== undefined) return document.querySelector(`[data-copy="${copy}"]`);
    if (save !== undefined) return document.querySelector(`[data-save="${save}"]`);
    if (word !== undefined && token === undefined) return document.querySelector(`.word[data-word="${word}"]`);
    return Object.keys(STARTERS).map(part).find(usable); // a story was started: it can be stopped
  };

  const watched = new MutationObserver((changes) => {
    for (const { target, attributeName } of changes) {
      if (attributeName === "disabled" && target.id in STARTERS && !target.disabled) {
        part(STARTERS[target.id][1]).scrollIntoView({ block: "nearest" });
      }
    }
    const now = document.activeElement;
    if (held && !usable(held) && (now === held || now === null || now === document.body)) {
      const next = successor(held);
      if (usable(next)) next.focus({ preventScroll: true });
    }
  });
  watched.observe(document.body, { subtree: true, childList: true, attributes: true, attributeFilter: ["disabled"] });
}
