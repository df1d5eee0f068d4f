// Loads the model and tells stories off the page's own thread, so that the page answers while it does.
//
// It is told: {do: "load", about, kind}, {do: "tell", prompt, settings}, {do: "go on", settings}, {do: "stop"}.
// It says: {loaded, of}, {ready}, {note}, {piece}, {told: {finished, stopped, tokens, seconds}}, {failed}.

import { Model, Story } from "./teller.js";
import { Tokenizer } from "./tokenizer.js";

let about = null;
let wasm = null;
let model = null;
let tokenizer = null;
let story = null;
let decoder = null;
let stopped = false;

const say = (words) => self.postMessage(words);

const TASKS = {
  async load({ about: told, kind }) {
    about = told;
    const graph = about.models.find((found) => found.kind === kind);
    const wanted = [graph, ...(wasm ? [] : [about.runtime]), ...(tokenizer ? [] : [about.tokenizer])];
    const of = wanted.reduce((sum, file) => sum + file.bytes, 0);
    const got = new Map();
    const fetched = await Promise.all(
      wanted.map((file) =>
        fetchFile(file, (bytes) => {
          got.set(file, bytes);
          say({ loaded: [...got.values()].reduce((a, b) => a + b), of });
        }),
      ),
    );
    say({ loaded: of, of });
    const files = new Map(wanted.map((file, i) => [file.file, fetched[i]]));
    wasm ??= files.get(about.runtime.file);
    tokenizer ??= new Tokenizer(JSON.parse(new TextDecoder().decode(files.get(about.tokenizer.file))));
    await model?.close();
    model = null;
    model = await opened(Model.open(wasm, files.get(graph.file), about));
    story?.forget();
    say({ ready: kind });
  },

  async tell({ prompt, settings }) {
    const ids = tokenizer.encode(prompt);
    story = new Story(ids, settings.seed, about);
    decoder = new TextDecoder("utf-8", { ignoreBOM: true });
    if (story.cut) {
      say({ note: `Your beginning is ${count(ids.length)} tokens long, and the model sees ${count(about.context)}: it goes on from the newest.` });
    }
    await telling(settings);
  },

  async "go on"({ settings }) {
    await telling(settings);
  },
};

async function telling(settings) {
  stopped = false;
  const started = performance.now();
  let tokens = 0;
  while (tokens < settings.newTokens && !stopped && !story.finished) {
    const before = story.windowed;
    const id = await story.step(model, settings);
    if (story.windowed && !before) {
      say({ note: "The story is longer than what the model can see at once: it no longer knows how it began." });
    }
    if (id !== null) {
      tokens += 1;
      const piece = decoder.decode(tokenizer.bytes[id], { stream: true }); // a character not yet whole is held back
      say({ piece });
    }
    await aMoment();
  }
  say({ told: { finished: story.finished, stopped, tokens, seconds: (performance.now() - started) / 1000 } });
}

/** Lets a message in, such as a stop. */
function aMoment() {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });
}

async function fetchFile({ file, bytes, version }, got) {
  let answer;
  try {
    answer = await fetch(`${file}?${version}`); // of a page that was exported anew, nothing old is taken from a cache
  } catch {
    throw new Failure(`${file} could not be fetched: the connection broke, or the server is gone.`);
  }
  if (answer.status === 404) throw new Failure(`${file} is missing on the server. Was the whole folder put there?`);
  if (!answer.ok) throw new Failure(`The server did not give ${file}: it answered ${answer.status}.`);
  const whole = new Uint8Array(bytes);
  let at = 0;
  try {
    for (const reader = answer.body.getReader(); ; ) {
      const { done, value } = await reader.read();
      if (done) break;
      if (at + value.length <= bytes) whole.set(value, at);
      at += value.length;
      got(Math.min(at, bytes));
    }
  } catch {
    throw new Failure(`${file} could not be fetched to its end: the connection broke.`);
  }
  if (at !== bytes) {
    throw new Failure(`${file} is not whole on the server: it has ${count(at)} bytes, and was exported with ${count(bytes)}.`);
  }
  return whole;
}

async function opened(opening) {
  try {
    return await opening;
  } catch (error) {
    throw new Failure(`The model could not be opened in this browser (${error?.message ?? error}). Is there memory enough?`);
  }
}

class Failure extends Error {} // its message is for the visitor

function count(number) {
  return number.toLocaleString("en");
}

async function perform(task) {
  try {
    await TASKS[task.do](task);
  } catch (error) {
    say({ failed: error instanceof Failure ? error.message : `Something went wrong: ${error?.message ?? error}` });
  }
}

self.onmessage = ({ data }) => {
  if (data.do === "stop") stopped = true;
  else perform(data);
};
