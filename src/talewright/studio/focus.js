() => {
  // Keeps the focus. A button that is disabled, or a word that is drawn again, would send the keyboard and
  // the screen reader to the top of the page; and on a phone a story would begin below the visible part.
  const BEGINNERS = { stop: ["tell", "story"], "stop-both": ["tell-both", "side-1"] }; // by the button that stops what they begin
  let held = null; // what had the focus last
  document.addEventListener("focusin", ({ target }) => { held = target; });
  document.addEventListener("pointerdown", () => { held = null; }, true); // pressed beside everything: nothing is held

  const part = (id) => document.getElementById(id);
  const usable = (element) => element && element.isConnected && !element.disabled;

  /** What stands for an element that is gone or out of use. */
  const successor = (lost) => {
    const { word, token, open, copy, save } = lost.dataset;
    if (lost.id in BEGINNERS) return part(BEGINNERS[lost.id][0]);
    if (open !== undefined) return document.querySelector(`[data-open="${open}"]`);
    if (copy !== undefined) return document.querySelector(`[data-copy="${copy}"]`);
    if (save !== undefined) return document.querySelector(`[data-save="${save}"]`);
    if (word !== undefined && token === undefined) return document.querySelector(`.word[data-word="${word}"]`);
    return Object.keys(BEGINNERS).map(part).find(usable); // what was pressed begins a story: it can be stopped
  };

  const watched = new MutationObserver((changes) => {
    for (const { target, attributeName } of changes) {
      if (attributeName === "disabled" && target.id in BEGINNERS && !target.disabled) {
        part(BEGINNERS[target.id][1]).scrollIntoView({ block: "nearest" });
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
