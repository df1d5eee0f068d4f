// The page: what is asked of the worker, and what is shown of its answers. Text is set as text, never as HTML.

const KINDS = { q8: "8 bits", f32: "32 bits" };
const UNASKED = 40e6; // bytes that are fetched without asking first
const part = (id) => document.getElementById(id);
const numbers = { temperature: "temperature", newTokens: "new-tokens", topK: "top-k", topP: "top-p", penalty: "penalty" };

let about = null;
let worker = null;
let opened = false; // whether the worker has had a model
let state = "loading"; // or waiting (to be asked), ready, telling, failed
let current = null; // {given, told, finished}: the story on the page
const past = []; // those before it, the newest first

// --- what the page shows -------------------------------------------------------------------------------------------

function show(now) {
  state = now;
  const [ready, telling] = [state === "ready", state === "telling"];
  part("loading").hidden = !["loading", "waiting"].includes(state);
  part("loading-bar").hidden = part("loading-words").hidden = state !== "loading";
  part("fetch").hidden = state !== "waiting";
  part("failing").hidden = state !== "failed";
  enable({ tell: ready, stop: telling, "go-on": ready && current !== null && !current.finished, anew: ready && current !== null });
  part("kind").disabled = telling || state === "loading" || about === null;
  part("keeping").hidden = !current || telling;
  part("story").classList.toggle("telling", telling);
  part("story").classList.toggle("empty", current === null);
  part("story").setAttribute("aria-busy", String(telling));
  if (current === null) part("told").textContent = "Nothing is told yet.";
}

/** A button that goes out of use while it has the focus hands it to the one that can be used next. */
function enable(usable) {
  const held = document.activeElement;
  for (const [id, now] of Object.entries(usable)) part(id).disabled = !now;
  if (usable[held.id] === false) part(state === "telling" ? "stop" : "tell").focus();
}

function fail(words) {
  part("failing-words").textContent = words;
  part("status").textContent = "";
  show("failed");
}

function note(words) {
  const item = document.createElement("li");
  item.textContent = words;
  part("notes").append(item);
  part("notes").hidden = false;
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
    fail(`The page cannot find out what it should load (${error.message}). Was the whole folder put on the server?`);
    return;
  }
  const size = (about.parameters / 1e6).toPrecision(2);
  document.title = `Stories by ${about.name}`;
  part("about").textContent = `${about.name}: a small model of ${size} million parameters that learned to tell stories, here in your browser.`;
  part("kind").replaceChildren(...about.models.map(({ kind, bytes }) => new Option(`${KINDS[kind]} (${megabytes(bytes)})`, kind)));
  part("prompts").replaceChildren(...about.prompts.map(promptButton));
  if (wanted() > UNASKED) offer();
  else load();
}

function wanted() {
  const chosen = about.models.find(({ kind }) => kind === part("kind").value);
  return chosen.bytes + about.runtime.bytes + about.tokenizer.bytes;
}

function offer() {
  part("fetch").textContent = `Fetch the storyteller (${megabytes(wanted())})`;
  show("waiting");
}

function load() {
  if (worker === null) {
    worker = new Worker("worker.js", { type: "module" });
    worker.onmessage = ({ data }) => hear(data);
    worker.onerror = (event) => {
      event.preventDefault();
      abandon(`The part of the page that tells stories could not be started${event.message ? ` (${event.message})` : ""}. Was the whole folder put on the server?`);
    };
  }
  progress(0, 1);
  show("loading");
  worker.postMessage({ do: "load", about, kind: part("kind").value });
}

/** Without the worker, and what it knows of the story. */
function abandon(words) {
  worker.terminate();
  worker = null;
  opened = false;
  if (current) current.finished = true;
  fail(words);
}

function progress(loaded, of) {
  const whole = loaded >= of;
  part("loading-bar").value = loaded / of;
  const tenth = Math.floor((10 * loaded) / of); // a screen reader is told ten times, not a thousand
  const words = whole ? "Opening the storyteller …" : `Fetching the storyteller: ${tenth}0 % of ${megabytes(of)}`;
  if (part("loading-words").textContent !== words) part("loading-words").textContent = words;
}

function promptButton(prompt) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = prompt;
  button.onclick = () => {
    part("prompt").value = prompt;
    part("prompt").focus();
  };
  return button;
}

// --- telling --------------------------------------------------------------------------------------------------------

function settings() {
  const seed = part("seed");
  if (!seed.value || !seed.checkValidity()) {
    part("settings").open = true;
    part("status").textContent = "The seed is a whole number from 0 to 999,999,999.";
    seed.focus();
    return null;
  }
  const found = { seed: Number(seed.value) };
  for (const [name, id] of Object.entries(numbers)) found[name] = Number(part(id).value);
  return found;
}

function tell(prompt) {
  const how = state === "ready" ? settings() : null;
  if (how === null) return;
  if (current) keep();
  const given = prompt.toWellFormed?.() ?? prompt;
  current = { given, told: "", finished: false, tokens: 0 };
  part("given").textContent = given;
  part("told").textContent = "";
  part("notes").replaceChildren();
  part("notes").hidden = true;
  ask({ do: "tell", prompt: given, settings: how });
}

function goOn() {
  const how = settings();
  if (how !== null) ask({ do: "go on", settings: how });
}

/** The same beginning with the next seed. */
function tellAnew() {
  const how = settings();
  if (how === null) return;
  part("seed").value = (how.seed + 1) % 1e9;
  tell(current.given);
}

function ask(task) {
  part("status").textContent = "Telling …";
  show("telling");
  part("status").scrollIntoView({ block: "nearest" });
  worker.postMessage(task);
}

function stop() {
  worker?.postMessage({ do: "stop" });
}

function hear({ loaded, of, ready, note: words, piece, told, failed }) {
  if (loaded !== undefined) progress(loaded, of);
  if (ready) {
    opened = true;
    show("ready");
  }
  if (words) note(words);
  if (piece) {
    current.told += piece;
    part("told").append(piece);
  }
  if (told) end(told);
  if (failed) (opened ? fail : abandon)(failed); // onnxruntime starts once, or never in the same worker
}

function end({ finished, stopped, tokens, seconds }) {
  current.finished = finished;
  const pace = tokens > 1 ? `${tokens} tokens, ${Math.round(tokens / seconds)} a second` : "";
  if (finished && tokens === 0) part("status").textContent = "The end: the storyteller has nothing to add.";
  else if (finished) part("status").textContent = `The end. ${pace}`;
  else if (stopped) part("status").textContent = `Stopped. ${pace}`;
  else part("status").textContent = `Paused after ${pace}. Go on tells more.`;
  show("ready");
}

// --- keeping --------------------------------------------------------------------------------------------------------

function text(story) {
  return story.given + story.told;
}

/** The story on the page goes to those told before. */
function keep() {
  const story = current;
  past.unshift(story);
  const item = document.createElement("li");
  const words = document.createElement("p");
  const given = document.createElement("span");
  given.className = "given";
  given.textContent = story.given;
  words.append(given, story.told);
  words.tabIndex = 0;
  words.setAttribute("role", "group");
  words.setAttribute("aria-label", `Story ${past.length}`);
  const buttons = document.createElement("div");
  buttons.className = "buttons";
  buttons.append(button("Copy", past.length, () => copy(text(story))), button("Save", past.length, () => save(text(story), "story.txt")));
  item.append(words, buttons);
  part("stories").prepend(item);
  part("past").hidden = false;
}

function button(word, number, action) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = word;
  made.setAttribute("aria-label", `${word} story ${number}`);
  made.onclick = action;
  return made;
}

async function copy(words) {
  try {
    await navigator.clipboard.writeText(words);
    part("status").textContent = "Copied.";
  } catch {
    part("status").textContent = "This browser does not let the page copy; select the story and copy it by hand.";
  }
}

function save(words, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([words, "\n"], { type: "text/plain;charset=utf-8" }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  part("status").textContent = `Saved as ${name}.`;
}

function saveAll() {
  const stories = [...past].reverse();
  if (current && state !== "telling") stories.push(current);
  save(stories.map(text).join("\n\n* * *\n\n"), "stories.txt");
}

// --- what the visitor does --------------------------------------------------------------------------------------------

for (const output of document.querySelectorAll("output")) {
  const input = part(output.htmlFor.value);
  const shown = () => (output.value = String(Number(input.value)));
  input.addEventListener("input", shown);
  shown();
}

part("form").noValidate = true; // the seed is checked with a sentence of our own
part("form").onsubmit = (event) => {
  event.preventDefault();
  tell(part("prompt").value);
};
part("stop").onclick = stop;
part("go-on").onclick = goOn;
part("anew").onclick = tellAnew;
part("copy").onclick = () => copy(text(current));
part("save").onclick = () => save(text(current), "story.txt");
part("save-all").onclick = saveAll;
part("kind").onchange = () => (state === "waiting" ? offer() : load());
part("fetch").onclick = () => load();
part("again").onclick = () => (about === null ? begin() : load());
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && event.target === part("prompt")) part("form").requestSubmit();
  if (event.key === "Escape" && state === "telling") stop();
});

begin();
