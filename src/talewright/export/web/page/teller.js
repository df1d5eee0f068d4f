// A story told token by token, as talewright/generate/rows.py tells it: an end of text, the prompt, then what is drawn.

import * as ort from "./runtime/ort.js";
import { choose, Uniforms } from "./sampler.js";

const PIECE = 64; // tokens that are read at once: the logits of more would fill the memory of a phone

export class Model {
  /** Of the bytes of onnxruntime's WebAssembly and of the graph; about: about.json. */
  static async open(wasm, graph, about) {
    ort.env.wasm.numThreads = 1; // more would need headers that few servers of files send
    ort.env.wasm.wasmBinary = wasm;
    ort.env.logLevel = "error";
    return new Model(await ort.InferenceSession.create(graph, { executionProviders: ["wasm"] }), about);
  }

  constructor(session, about) {
    this.session = session;
    this.about = about;
    this.caches = session.inputMetadata.filter(({ name }) => name.startsWith("past_key_values."));
  }

  /** Keys and values of no token yet. */
  empty() {
    const none = ({ shape: [, heads, , size] }) => new ort.Tensor("float32", new Float32Array(), [1, heads, 0, size]);
    return Object.fromEntries(this.caches.map((cache) => [cache.name, none(cache)]));
  }

  /** Logits after these ids, which stand after `held` others, and the keys and values of all. */
  async read(ids, past, held) {
    let logits;
    for (let start = 0; start < ids.length; start += PIECE) {
      const piece = ids.slice(start, start + PIECE);
      const first = held + start;
      const found = await this.session.run({
        input_ids: row(piece),
        position_ids: row(piece.map((_, i) => first + i)),
        attention_mask: row(new Array(first + piece.length).fill(1)),
        ...past,
      });
      past = Object.fromEntries(Object.keys(past).map((name) => [name, found[name.replace("past_key_values", "present")]]));
      const { data, dims } = found.logits;
      const last = (piece.length - 1) * dims[2];
      logits = data.slice(last, last + this.about.vocabulary); // the model may have more ids than the tokenizer
    }
    return { logits, past };
  }

  close() {
    return this.session.release();
  }
}

function row(numbers) {
  return new ort.Tensor("int64", BigInt64Array.from(numbers, BigInt), [1, numbers.length]);
}

export class Story {
  /** prompt: its ids; seed: a whole number from 0 up. */
  constructor(prompt, seed, { context, end }) {
    this.context = context;
    this.end = end;
    this.ids = [end, ...prompt].slice(-context);
    this.cut = prompt.length + 1 > context; // the prompt is longer than what the model can see
    this.seen = new Set(this.ids);
    this.seen.delete(end); // what stands before the story is no part of it
    this.uniforms = new Uniforms(seed);
    this.told = 0;
    this.finished = false;
    this.start = 0; // where in the ids the model's window begins
    this.forget();
  }

  /** The model will read the window anew: it is another one, or has told another story meanwhile. */
  forget() {
    this.past = null;
    this.held = 0; // how many ids of the window are in `past`
  }

  get windowed() {
    return this.start > 0;
  }

  /** Tell one more token: its id, or null where the story has come to its end. */
  async step(model, settings) {
    if (this.held === this.context) {
      this.start = this.ids.length - 1 - Math.floor(this.context / 2); // the newest half of what was read
      this.forget();
    }
    this.past ??= model.empty();
    const unread = this.ids.slice(this.start + this.held);
    const { logits, past } = await model.read(unread, this.past, this.held);
    [this.past, this.held] = [past, this.held + unread.length];
    const id = choose(logits, settings, this.seen, this.uniforms.at(this.told));
    this.told += 1;
    this.finished = id === this.end;
    if (this.finished) return null;
    this.ids.push(id);
    this.seen.add(id);
    return id;
  }
}
