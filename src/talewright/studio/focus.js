() => {
  // Keeps the focus. A button that is disabled, or a word that is drawn again, would send the keyboard and
  // the screen reader to the top of the page; and on a phone a story would begin below the visible part.
  const STARTERS = ["generate", "generate-both"]; // they say Stop while something is generated
  let held = null; // what had the focus last
  document.addEventListener("focusin", ({ target }) => { held = target; });
  document.addEventListener("pointerdown", () => { held = null; }, true); // a click outside everything: nothing is held

  const usable = (element) => element && element.isConnected && !element.disabled;

  /** What replaces an element that is gone or disabled. */
  const successor = (lost) => {
    for (const name of ["toggle", "open", "copy", "save"]) {
      if (lost.dataset[name] !== undefined) return document.querySelector(`[data-${name}="${lost.dataset[name]}"]`);
    }
    const { word, token } = lost.dataset;
    if (word !== undefined && token === undefined) return document.querySelector(`.word[data-word="${word}"]`);
    return STARTERS.map((id) => document.getElementById(id)).find((button) => usable(button) && button.offsetParent);
  };

  let growing = null; // the story that was scrolled to
  const watched = new MutationObserver(() => {
    const busy = [...document.querySelectorAll(".story[aria-busy=true]")].find((story) => story.offsetParent);
    if (busy && !growing) busy.scrollIntoView({ block: "nearest" });
    growing = busy;
    const now = document.activeElement;
    if (held && !usable(held) && (now === held || now === null || now === document.body)) {
      const next = successor(held);
      if (usable(next)) next.focus({ preventScroll: true });
    }
  });
  watched.observe(document.body, { subtree: true, childList: true, attributes: true, attributeFilter: ["disabled", "aria-busy"] });
}
