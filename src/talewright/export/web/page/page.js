// The page: sends tasks to the worker and shows its messages. Text is set as text, never as HTML.

import { fillFromLink, link, linkedValues } from "./link.js";
import { copy, save } from "./saving.js";
import { append, restart } from "./words.js";

const KINDS = { q8: "8 bits", f32: "32 bits" };
const MAX_UNASKED = 40e6; // bytes to download without asking first
const element = (id) => document.getElementById(id);
const numbers = { temperature: "temperature", newTokens: "new-tokens", topK: "top-k", topP: "top-p", penalty: "penalty" };

let about = null;
let worker = null;
let opened = false; // whether the worker has opened a model
let state = "loading"; // or waiting (for consent to download), ready, generating, failed
let current = null; // {prompt, tokens, finished, seed}: the story on the page
let inside = null; // the other view, once it has been opened
const past = []; // earlier stories, newest first

// --- display --------------------------------------------------------------------------------------------------------

function show(now) {
  state = now;
  const [ready, generating] = [state === "ready", state === "generating"];
  element("loading").hidden = !["loading", "waiting"].includes(state);
  element("loading-bar").hidden = element("loading-text").hidden = state !== "loading";
  element("download").hidden = state !== "waiting";
  element("failure").hidden = state !== "failed";
  enable({ generate: ready, stop: generating, continue: ready && current !== null && !current.finished, regenerate: ready && current !== null });
  element("tab-inside").disabled = !opened;
  element("kind").disabled = generating || state === "loading" || about === null;
  element("story-buttons").hidden = !current?.tokens.length || generating;
  element("story").classList.toggle("generating", generating);
  element("story").classList.toggle("empty", current === null);
  element("story").setAttribute("aria-busy", String(generating));
  if (current === null) {
    restart([]);
    element("generated").textContent = "No story yet.";
  }
}

/** Enable and disable buttons; the focus moves from a disabled button to the one that can be used next. */
function enable(usable) {
  const held = document.activeElement;
  for (const [id, now] of Object.entries(usable)) element(id).disabled = !now;
  if (usable[held.id] === false) element(state === "generating" ? "stop" : "generate").focus();
}

function fail(message) {
  element("failure-text").textContent = message;
  element("status").textContent = "";
  show("failed");
}

function note(message) {
  const item = document.createElement("li");
  item.textContent = message;
  element("notes").append(item);
  element("notes").hidden = false;
}

function megabytes(bytes) {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

// --- loading --------------------------------------------------------------------------------------------------------

async function begin() {
  show("loading");
  try {
    const answer = await fetch("about.json", { cache: "no-cache" });
    if (!answer.ok) throw new Error(`about.json: the server answered ${answer.status}`);
    about = await answer.json();
  } catch (error) {
    fail(`The page could not load about.json (${error.message}). Was the whole folder uploaded?`);
    return;
  }
  const size = (about.parameters / 1e6).toPrecision(2);
  document.title = `Stories by ${about.name}`;
  element("about").textContent = `${about.name}: a language model with ${size} million parameters that writes stories in your browser.`;
  element("kind").replaceChildren(...about.models.map(({ kind, bytes }) => new Option(`${KINDS[kind]} (${megabytes(bytes)})`, kind)));
  for (const [id, value] of Object.entries(about.sampling)) {
    element(id).value = value;
    element(id).dispatchEvent(new Event("input"));
  }
  element("prompts").replaceChildren(...about.prompts.map(promptButton));
  openLink();
  if (downloadSize() > MAX_UNASKED) offer();
  else load();
}

function openLink() {
  if (fillFromLink()) element("status").textContent = "This link holds a prompt and a seed: Generate gives its story.";
}

function downloadSize() {
  const chosen = about.models.find(({ kind }) => kind === element("kind").value);
  return chosen.bytes + about.runtime.bytes + about.tokenizer.bytes;
}

function offer() {
  element("download").textContent = `Download the model (${megabytes(downloadSize())})`;
  show("waiting");
}

function load() {
  if (worker === null) {
    worker = new Worker("worker.js", { type: "module" });
    worker.onmessage = ({ data }) => receive(data);
    worker.onerror = (event) => {
      event.preventDefault();
      abandon(`The worker of the page could not be started${event.message ? ` (${event.message})` : ""}. Was the whole folder uploaded?`);
    };
  }
  progress(0, 1);
  show("loading");
  worker.postMessage({ do: "load", about, kind: element("kind").value });
}

/** Stop the worker, which loses its state of the story. */
function abandon(message) {
  worker.terminate();
  worker = null;
  opened = false;
  if (current) current.finished = true;
  fail(message);
}

function progress(loaded, of) {
  const whole = loaded >= of;
  element("loading-bar").value = loaded / of;
  const tenth = Math.floor((10 * loaded) / of); // a screen reader announces ten updates, not a thousand
  const message = whole ? "Opening the model …" : `Downloading the model: ${tenth}0% of ${megabytes(of)}`;
  if (element("loading-text").textContent !== message) element("loading-text").textContent = message;
}

function promptButton(prompt) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = prompt;
  button.onclick = () => {
    element("prompt").value = prompt;
    element("prompt").focus();
  };
  return button;
}

// --- generation -----------------------------------------------------------------------------------------------------

/** The settings; if the seed is empty, with `seed`, or else a new one. Null, with a message, if the seed is wrong. */
function settings(seed = Math.floor(Math.random() * 1e6)) {
  const typed = element("seed");
  if (!typed.checkValidity()) {
    element("settings").open = true;
    element("status").textContent = "The seed must be an integer from 0 to 999,999,999.";
    typed.focus();
    return null;
  }
  const values = { seed: typed.value === "" ? seed : Number(typed.value) };
  for (const [name, id] of Object.entries(numbers)) values[name] = Number(element(id).value);
  values.topK ||= null;
  return values;
}

function generate(prompt) {
  const values = state === "ready" ? settings() : null;
  if (values === null) return;
  if (current?.tokens.length) keep();
  const trimmed = (prompt.toWellFormed?.() ?? prompt).replace(/[ \t\r\n]+$/, ""); // as the engine's `trimmed`
  current = { prompt: trimmed, tokens: [], finished: false, seed: values.seed, link: linkedValues(values.seed) };
  element("story-prompt").textContent = trimmed;
  restart(current.tokens);
  element("notes").replaceChildren();
  element("notes").hidden = true;
  send({ do: "generate", prompt: trimmed, settings: values });
}

function resume() {
  const values = settings(current.seed);
  if (values !== null) send({ do: "continue", settings: values });
}

/** Another story from the same prompt, with a new seed. */
function regenerate() {
  element("seed").value = "";
  generate(current.prompt);
}

function send(task) {
  element("status").textContent = "Generating …";
  show("generating");
  element("story").scrollIntoView({ block: "nearest" });
  worker.postMessage(task);
}

function stop() {
  worker?.postMessage({ do: "stop" });
}

function receive({ loaded, of, ready, note: message, token, done, failed, inside: reply }) {
  if (loaded !== undefined) progress(loaded, of);
  if (ready) {
    opened = true;
    show("ready");
  }
  if (message) note(message);
  if (token) append(token);
  if (reply) inside.receive(reply);
  if (done) end(done);
  if (failed) (opened ? fail : abandon)(failed); // if onnxruntime fails to start, it never starts in the same worker
}

function end({ finished, stopped, tokens, seconds }) {
  current.finished = finished;
  const pace = tokens > 1 ? `${tokens} tokens, ${Math.round(tokens / seconds)} per second` : "";
  const seed = `Seed ${current.seed}.`;
  if (!current.tokens.length && finished) {
    element("status").textContent = "The model ended the story at once; there is nothing to keep.";
    element("story-prompt").textContent = "";
    current = null;
  } else if (finished) element("status").textContent = `The end. ${seed} ${pace}`;
  else if (stopped) element("status").textContent = `Stopped. ${seed} ${pace}`;
  else element("status").textContent = `Paused after ${pace}. ${seed} Continue generates more.`;
  show("ready");
}

// --- earlier stories, copy and save ---------------------------------------------------------------------------------

function text(story) {
  return story.prompt + generated(story);
}

function generated(story) {
  return story.tokens.map(({ piece }) => piece).join("");
}

/** Move the current story to the earlier ones. */
function keep() {
  const story = current;
  past.unshift(story);
  const item = document.createElement("li");
  const paragraph = document.createElement("p");
  const prompt = document.createElement("span");
  prompt.className = "prompt";
  prompt.textContent = story.prompt;
  paragraph.append(prompt, generated(story));
  paragraph.tabIndex = 0;
  paragraph.setAttribute("role", "group");
  paragraph.setAttribute("aria-label", `Story ${past.length}`);
  const buttons = document.createElement("div");
  buttons.className = "buttons";
  buttons.append(
    button("Copy", past.length, () => copy(text(story))),
    button("Copy link", past.length, () => share(story)),
    button("Save", past.length, () => save(text(story), "story.txt")),
  );
  item.append(paragraph, buttons);
  element("stories").prepend(item);
  element("past").hidden = false;
}

function button(label, number, action) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = label;
  made.setAttribute("aria-label", `${label} story ${number}`);
  made.onclick = action;
  return made;
}

function share(story) {
  copy(link(story.prompt, story.link), "Copied a link that gives this story from its prompt, seed and settings.");
}

function saveAll() {
  const stories = [...past].reverse();
  if (current?.tokens.length && state !== "generating") stories.push(current);
  save(stories.map(text).join("\n\n* * *\n\n"), "stories.txt");
}

// --- the two views --------------------------------------------------------------------------------------------------

const tabs = ["write", "inside"].map((view) => element(`tab-${view}`));

async function open(tab) {
  for (const each of tabs) {
    each.setAttribute("aria-selected", String(each === tab));
    each.tabIndex = each === tab ? 0 : -1;
    element(each.getAttribute("aria-controls")).hidden = each !== tab;
  }
  if (tab.id === "tab-write") return inside?.close();
  const { Inside } = await import("./inside.js");
  inside ??= new Inside(about, (task) => worker.postMessage(task));
  inside.open(current?.prompt ?? (element("prompt").value.trim() || about.prompts[0]), current !== null, current?.seed ?? settings()?.seed ?? 0);
}

for (const [i, tab] of tabs.entries()) {
  tab.onclick = () => open(tab);
  tab.onkeydown = ({ key }) => {
    if (key !== "ArrowRight" && key !== "ArrowLeft") return;
    tabs[1 - i].focus();
    open(tabs[1 - i]);
  };
}

// --- events ---------------------------------------------------------------------------------------------------------

for (const output of document.querySelectorAll("output")) {
  const input = element(output.htmlFor.value);
  const shown = () => (output.value = String(Number(input.value)));
  input.addEventListener("input", shown);
  shown();
}

element("form").noValidate = true; // the page checks the seed itself
element("form").onsubmit = (event) => {
  event.preventDefault();
  generate(element("prompt").value);
};
element("stop").onclick = stop;
element("continue").onclick = resume;
element("regenerate").onclick = regenerate;
element("copy").onclick = () => copy(text(current));
element("share").onclick = () => share(current);
element("save").onclick = () => save(text(current), "story.txt");
element("save-all").onclick = saveAll;
window.onhashchange = openLink;
element("kind").onchange = () => (state === "waiting" ? offer() : load());
element("download").onclick = () => load();
element("retry").onclick = () => (about === null ? begin() : load());
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && event.target === element("prompt")) element("form").requestSubmit();
  if (event.key === "Escape" && state === "generating") stop();
});

begin();
