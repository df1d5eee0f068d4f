// One listener for what a user chooses in a story, among its alternatives, or in the list of past stories.
const act = (target) => {
  const word = target.closest("[data-word]");
  const open = target.closest("[data-open]");
  const copy = target.closest("[data-copy]");
  const save = target.closest("[data-save]");
  if (target.closest("[data-toggle]")) {
    trigger("choose", { toggle: 1 });
  } else if (word && word.dataset.token !== undefined) {
    trigger("choose", { word: Number(word.dataset.word), token: Number(word.dataset.token) });
  } else if (word) {
    trigger("choose", { word: Number(word.dataset.word) });
  } else if (open) {
    trigger("choose", { story: Number(open.dataset.open) });
  } else if (copy) {
    toClipboard(document.getElementById(copy.dataset.copy).textContent, copy);
  } else if (save) {
    const text = document.getElementById(save.dataset.save).textContent;
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
    link.download = save.dataset.save + ".txt";
    link.click();
    URL.revokeObjectURL(link.href);
  } else {
    return false;
  }
  return true;
};
const toClipboard = async (text, button) => {
  let done = true;
  try {
    await navigator.clipboard.writeText(text);
  } catch {  // a page without HTTPS has no clipboard: use the old way
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    done = document.execCommand("copy");
    area.remove();
    button.focus();
  }
  button.textContent = done ? "Copied" : "Not allowed here";
  setTimeout(() => { button.textContent = "Copy"; }, 2000);
};
element.addEventListener("click", (event) => { act(event.target); });
element.addEventListener("keydown", (event) => {
  const word = event.target.closest(".word");
  if (!word) return;
  const all = [...element.querySelectorAll(".word")];
  const here = all.indexOf(word);
  const next = { ArrowRight: here + 1, ArrowDown: here + 1, ArrowLeft: here - 1, ArrowUp: here - 1, Home: 0, End: all.length - 1 }[event.key];
  if (event.key === "Enter" || event.key === " ") {
    act(word);
  } else if (next !== undefined && all[next]) {
    word.tabIndex = -1;
    all[next].tabIndex = 0;
    all[next].focus();
  } else {
    return;
  }
  event.preventDefault();
});
