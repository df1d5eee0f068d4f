// A link that holds a story's prompt, seed and settings after its #, which a browser does not send to the server.

const INPUTS = ["seed", "temperature", "new-tokens", "top-k", "top-p", "penalty", "kind"];
const element = (id) => document.getElementById(id);

/** The address of this page with a story in it. values: by the ids of the inputs. */
export function link(prompt, values) {
  return `${location.href.split("#")[0]}#${new URLSearchParams({ prompt, ...values })}`;
}

/** The values of the inputs that a link holds, and that a seed needs to give the same story. */
export function linkedValues(seed) {
  return Object.fromEntries(INPUTS.map((id) => [id, id === "seed" ? String(seed) : element(id).value]));
}

/** Fill the inputs with what the page's address holds. Whether it held a prompt. */
export function fillFromLink() {
  const values = new URLSearchParams(location.hash.slice(1));
  if (!values.has("prompt")) return false;
  element("prompt").value = values.get("prompt");
  for (const id of INPUTS) {
    const input = element(id);
    const known = input.tagName !== "SELECT" || [...input.options].some(({ value }) => value === values.get(id));
    if (!values.has(id) || !known) continue;
    input.value = values.get(id); // a number out of its range becomes the nearest one
    input.dispatchEvent(new Event("input"));
  }
  return true;
}
