const FULL = 4; // nats at which a token has the strongest color
const show = () => {
  const rows = props.value?.rows ?? [];
  const old = element.querySelector('[data-id="story"]');
  const story = old.cloneNode(false); // without the listeners of the story before
  old.replaceWith(story);
  for (const { t, before, after } of rows) {
    const token = document.createElement("span"), change = after.loss - before.loss;
    token.textContent = t;
    token.className = change < 0 ? "gain" : "loss";
    token.style.setProperty("--a", Math.min(1, Math.abs(change) / FULL).toFixed(2));
    story.append(token);
  }
  const part = (id) => element.querySelector(`[data-id="${id}"]`);
  part("words").textContent = props.value?.words ?? "";
  if (!rows.length) return;
  const largest = rows.reduce((best, row, i) => (Math.abs(row.after.loss - row.before.loss) > Math.abs(rows[best].after.loss - rows[best].before.loss) ? i : best), 0);
  choosable(story, (i) => {
    const { t, before, after } = rows[i];
    part("heading").replaceChildren(heading(`“${visible(t)}”: ${percent(Math.exp(-before.loss))} as it is, ${percent(Math.exp(-after.loss))} with the change`));
    part("before").replaceChildren(heading("As it is"), bars(before.top));
    part("after").replaceChildren(heading("With the change"), bars(after.top));
  }, largest);
};
watch("value", show);
show();
