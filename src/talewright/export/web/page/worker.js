// Loads the model and generates stories outside the page's thread, so that the page stays responsive.
//
// It receives: {do: "load", about, kind}, {do: "generate", prompt, settings}, {do: "continue", settings}, {do: "stop"}.
// It sends: {loaded, of}, {ready}, {note}, {piece}, {done: {finished, stopped, tokens, seconds}}, {failed}.

import { Model, Story } from "./generator.js";
import { Tokenizer } from "./tokenizer.js";

let about = null;
let wasm = null;
let model = null;
let tokenizer = null;
let story = null;
let decoder = null;
let stopped = false;

const send = (message) => self.postMessage(message);

const TASKS = {
  async load({ about: description, kind }) {
    about = description;
    const graph = about.models.find((each) => each.kind === kind);
    const wanted = [graph, ...(wasm ? [] : [about.runtime]), ...(tokenizer ? [] : [about.tokenizer])];
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
    await model?.close();
    model = null;
    model = await opened(Model.open(wasm, files.get(graph.file), about));
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
};

async function generate(settings) {
  stopped = false;
  const started = performance.now();
  let tokens = 0;
  while (tokens < settings.newTokens && !stopped && !story.finished) {
    const before = story.windowed;
    const id = await story.step(model, settings);
    if (story.windowed && !before) {
      send({ note: "The story is longer than the model's context: the model no longer sees how it began." });
    }
    if (id !== null) {
      tokens += 1;
      const piece = decoder.decode(tokenizer.bytes[id], { stream: true }); // holds back a partial character
      send({ piece });
    }
    await nextMessage();
  }
  send({ done: { finished: story.finished, stopped, tokens, seconds: (performance.now() - started) / 1000 } });
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
    send({ failed: error instanceof Failure ? error.message : `Something went wrong: ${error?.message ?? error}` });
  }
}

self.onmessage = ({ data }) => {
  if (data.do === "stop") stopped = true;
  else perform(data);
};
