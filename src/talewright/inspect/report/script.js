"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  // HELPERS of every section, here and on other pages
  const percent = (p) => (p > 0 && p < 0.0005 ? "<0.1" : (100 * p).toFixed(p < 0.0995 ? 1 : 0)) + "\u00a0%";
  const visible = (text) => (text.trim() === "" ? "␣".repeat(text.length || 1) : text.trim());

  // A list of words with bars: [[word, share], ...]
  const bars = (rows, written = percent) => {
    const box = document.createElement("div");
    box.className = "bars";
    for (const [word, share, label] of rows) {
      const name = document.createElement("b"), bar = document.createElement("i"), value = document.createElement("u");
      name.textContent = label || visible(word);
      bar.style.width = Math.max(0, 100 * share) + "%";
      value.textContent = written(share);
      box.append(name, bar, value);
    }
    return box;
  };

  const heading = (text) => Object.assign(document.createElement("h3"), { textContent: text });

  // A story whose tokens can be pointed at, tapped, or walked through with the arrow keys.
  const choosable = (story, show, first) => {
    const tokens = [...story.children];
    let at = -1;
    const choose = (i) => {
      if (i < 0 || i >= tokens.length) return;
      if (tokens[at]) tokens[at].classList.remove("on");
      tokens[(at = i)].classList.add("on");
      show(i);
    };
    const pointed = (event) => { const i = tokens.indexOf(event.target); if (i >= 0) choose(i); };
    story.addEventListener("pointerover", (event) => { if (event.pointerType === "mouse") pointed(event); });
    story.addEventListener("click", pointed);
    story.addEventListener("keydown", (event) => {
      const move = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (move) { event.preventDefault(); choose(at + move); }
    });
    choose(first);
    return () => choose(at);
  };

  // A link to a section opens what is folded there.
  const unfold = () => {
    const section = location.hash && $(location.hash.slice(1));
    if (section) section.querySelectorAll("details.fold").forEach((details) => { details.open = true; });
  };
  addEventListener("hashchange", unfold);
  unfold();

  // SECTIONS
})();
