// Loads the model and generates stories outside the page's thread, so that the page stays responsive.
//
// It receives: {do: "load", about, kind}, {do: "generate", prompt, settings}, {do: "continue", settings}, {do: "stop"},
// {do: "tokenize", turn, prompt, follow}, {do: "look", turn, ids}.
// It sends: {loaded, of}, {ready}, {note}, {token}, {done: {finished, stopped, tokens, seconds}}, {failed}, and as
// {inside}: {turn, and begun: {ids, prompt, texts}, seen or failed}.

import { Model, Story } from "./generator.js";
import { Tokenizer } from "./tokenizer.js";

let about = null;
let wasm = null;
let graph = null; // its entry in about.json, with its contents: the model that is open, whose weights the look inside reads too
let activations = null;
let model = null;
let tokenizer = null;
let story = null;
let decoder = null;
let stopped = false;

const send = (message) => self.postMessage(message);

const TASKS = {
  async load({ about: description, kind }) {
    about = description;
    const chosen = about.models.find((each) => each.kind === kind);
    const wanted = [chosen, ...(wasm ? [] : [about.runtime]), ...(tokenizer ? [] : [about.tokenizer])];
    const of = wanted.reduce((sum, file) => sum + file.bytes, 0);
    const got = new Map();
    const contents = await Promise.all(
      wanted.map((file) =>
        download(file, (bytes) => {
          got.set(file, bytes);
          send({ loaded: [...got.values()].reduce((a, b) => a + b), of });
        }),
      ),
    );
    send({ loaded: of, of });
    const files = new Map(wanted.map((file, i) => [file.file, contents[i]]));
    wasm ??= files.get(about.runtime.file);
    tokenizer ??= new Tokenizer(JSON.parse(new TextDecoder().decode(files.get(about.tokenizer.file))));
    await Promise.all([model?.close(), activations?.close()]);
    model = activations = null;
    graph = { ...chosen, contents: files.get(chosen.file) };
    model = await opened(Model.open(wasm, graph.contents, about));
    story?.forget();
    send({ ready: kind });
  },

  async generate({ prompt, settings }) {
    const ids = tokenizer.encode(prompt);
    story = new Story(ids, settings.seed, about);
    decoder = new TextDecoder("utf-8", { ignoreBOM: true });
    if (story.cut) {
      send({ note: `Your prompt has ${count(ids.length)} tokens, but the model sees ${count(about.context)}: it continues from the newest.` });
    }
    await generate(settings);
  },

  async continue({ settings }) {
    await generate(settings);
  },

  /** The tokens of a prompt, or of the story if `follow` says so, for the look inside. */
  async tokenize({ turn, prompt, follow }) {
    const followed = follow && story !== null;
    const ids = followed ? story.ids : [about.begin, ...tokenizer.encode(prompt)];
    const begun = followed ? ids.length - story.count + (story.finished ? 1 : 0) : ids.length; // an end is not among them
    send({ inside: { turn, begun: { ids, prompt: begun, texts: tokenizer.bytes.map((_, id) => whole(id)) } } });
  },

  /** What the model computes for these tokens. */
  async look({ turn, ids }) {
    try {
      if (activations === null) {
        const { Activations } = await import("./activations.js");
        const contents = await download(graph.inside, () => {});
        activations = await opened(Activations.open(contents, graph, about));
      }
      const { buffers, ...seen } = await activations.run(ids);
      self.postMessage({ inside: { turn, seen } }, buffers);
    } catch (error) {
      send({ inside: { turn, failed: message(error) } });
    }
  },
};

async function generate(settings) {
  stopped = false;
  const started = performance.now();
  let tokens = 0;
  while (tokens < settings.newTokens && !stopped && !story.finished) {
    const before = story.windowed;
    const { id, surprise, top } = await story.step(model, settings);
    if (story.windowed && !before) {
      send({ note: "The story is longer than the model's context: the model no longer sees how it began." });
    }
    if (id !== null) {
      tokens += 1;
      const piece = decoder.decode(tokenizer.bytes[id], { stream: true }); // holds back a partial character
      send({ token: { piece, surprise, top: top.map(([other, share]) => [whole(other), share]) } });
    }
    await nextMessage();
  }
  send({ done: { finished: story.finished, stopped, tokens, seconds: (performance.now() - started) / 1000 } });
}

/** The text of one token by itself. */
function whole(id) {
  return new TextDecoder().decode(tokenizer.bytes[id]);
}

/** Let the worker receive a message, such as a stop. */
function nextMessage() {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });
}

async function download({ file, bytes, version }, progress) {
  let response;
  try {
    response = await fetch(`${file}?${version}`); // a new export is not served from the browser's cache
  } catch {
    throw new Failure(`${file} could not be downloaded: the connection failed, or the server is down.`);
  }
  if (response.status === 404) throw new Failure(`${file} is missing on the server. Was the whole folder uploaded?`);
  if (!response.ok) throw new Failure(`${file} could not be downloaded: the server answered ${response.status}.`);
  const whole = new Uint8Array(bytes);
  let at = 0;
  try {
    for (const reader = response.body.getReader(); ; ) {
      const { done, value } = await reader.read();
      if (done) break;
      if (at + value.length <= bytes) whole.set(value, at);
      at += value.length;
      progress(Math.min(at, bytes));
    }
  } catch {
    throw new Failure(`${file} could not be downloaded completely: the connection failed.`);
  }
  if (at !== bytes) {
    throw new Failure(`${file} is incomplete on the server: it has ${count(at)} bytes, but was exported with ${count(bytes)}.`);
  }
  return whole;
}

async function opened(opening) {
  try {
    return await opening;
  } catch (error) {
    throw new Failure(`The model could not be opened in this browser (${error?.message ?? error}). Is there enough memory?`);
  }
}

class Failure extends Error {} // its message is for the user

function count(number) {
  return number.toLocaleString("en");
}

async function perform(task) {
  try {
    await TASKS[task.do](task);
  } catch (error) {
    send({ failed: message(error) });
  }
}

function message(error) {
  return error instanceof Failure ? error.message : `Something went wrong: ${error?.message ?? error}`;
}

self.onmessage = ({ data }) => {
  if (data.do === "stop") stopped = true;
  else perform(data);
};
