// Asks the training for its progress every two seconds, and shows what has changed.
(() => {
  const get = (id) => document.getElementById(id), showLosses = lossView(document.querySelector(".losses"));
  let before = "";

  const sample = ({ name, prompt, text }) => {
    const item = document.createElement("li"), title = document.createElement("h3"), story = document.createElement("p");
    const start = document.createElement("b");
    item.className = "card";
    title.textContent = name;
    start.textContent = prompt;
    story.append(start, text);
    item.append(title, story);
    return item;
  };

  const show = (progress) => {
    get("name").textContent = progress.name;
    get("status").textContent = progress.message;
    get("status").dataset.state = progress.state;
    get("headline").textContent = progress.headline;
    get("used").value = progress.fraction;
    for (const tile of document.querySelectorAll("[data-figure]")) tile.textContent = progress.tiles[tile.dataset.figure];
    document.title = progress.state === "running" ? `${Math.floor(100 * progress.fraction)} % · ${progress.name}` : `${progress.state} · ${progress.name}`;
    showLosses(progress.losses);
    get("samples").replaceChildren(...progress.samples.map(sample));
    get("no-samples").hidden = progress.samples.length > 0;
  };

  const poll = async () => {
    try {
      const response = await fetch("progress", { cache: "no-store" });
      if (!response.ok) throw new Error(response.statusText);
      const text = await response.text();
      get("lost").hidden = true;
      if (text !== before) show(JSON.parse(text));
      before = text;
    } catch {
      get("lost").hidden = /^(finished|stopped|failed)$/.test(get("status").dataset.state);
    }
    setTimeout(poll, 2000);
  };

  poll();
})();
