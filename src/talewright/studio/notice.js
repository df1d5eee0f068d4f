() => {
  // What Gradio would say in a toast of its own is said here in a line that stays until it is closed.
  const notice = document.getElementById("notice");
  const say = (text) => {
    notice.querySelector("p").textContent = text;
    notice.hidden = false;
  };
  notice.querySelector("button").addEventListener("click", () => { notice.hidden = true; });
  const words = (toast) => {
    const text = (toast.querySelector(".toast-text") ?? toast).textContent.trim();
    return /connection|fetch|network/i.test(text)
      ? "The connection to the studio was lost. If the program still runs, reload the page; else start it again."
      : text;
  };
  new MutationObserver((changes) => {
    for (const { addedNodes } of changes) for (const node of addedNodes) {
      const toast = node instanceof Element && (node.matches(".toast-body") ? node : node.querySelector(".toast-body"));
      if (toast && words(toast)) say(words(toast));
    }
  }).observe(document.body, { subtree: true, childList: true });
}
