// Generates a story token by token as talewright/generate does: an end of text, the prompt, then sampled tokens.

import * as ort from "./runtime/ort.js";
import { choose, expected, Uniforms } from "./sampler.js";

const CHUNK = 64; // tokens to read at once: the logits of more would fill the memory of a phone

export class Model {
  /** wasm, graph: the bytes of onnxruntime's WebAssembly and of the graph; about: about.json. */
  static async open(wasm, graph, about) {
    ort.env.wasm.numThreads = 1; // more threads need headers that few file servers send
    ort.env.wasm.wasmBinary = wasm;
    ort.env.logLevel = "error";
    return new Model(await ort.InferenceSession.create(graph, { executionProviders: ["wasm"] }), about);
  }

  constructor(session, about) {
    this.session = session;
    this.about = about;
    this.caches = session.inputMetadata.filter(({ name }) => name.startsWith("past_key_values."));
  }

  /** An empty cache of keys and values. */
  empty() {
    const none = ({ shape: [, heads, , size] }) => new ort.Tensor("float32", new Float32Array(), [1, heads, 0, size]);
    return Object.fromEntries(this.caches.map((cache) => [cache.name, none(cache)]));
  }

  /** The logits after these ids, which follow `held` others in the cache, and the new cache. */
  async read(ids, past, held) {
    let logits;
    for (let start = 0; start < ids.length; start += CHUNK) {
      const chunk = ids.slice(start, start + CHUNK);
      const first = held + start;
      const outputs = await this.session.run({
        input_ids: row(chunk),
        position_ids: row(chunk.map((_, i) => first + i)),
        attention_mask: row(new Array(first + chunk.length).fill(1)),
        ...past,
      });
      past = Object.fromEntries(Object.keys(past).map((name) => [name, outputs[name.replace("past_key_values", "present")]]));
      const { data, dims } = outputs.logits;
      const last = (chunk.length - 1) * dims[2];
      logits = data.slice(last, last + this.about.vocabulary); // the model may have more ids than the tokenizer
    }
    return { logits, past };
  }

  close() {
    return this.session.release();
  }
}

export function row(numbers) {
  return new ort.Tensor("int64", BigInt64Array.from(numbers, BigInt), [1, numbers.length]);
}

export class Story {
  /** prompt: its ids; seed: an integer from 0 up. */
  constructor(prompt, seed, { context, begin, ends, unused }) {
    this.context = context;
    this.ends = ends;
    this.unused = unused;
    this.ids = [begin, ...prompt].slice(-context);
    this.cut = prompt.length + 1 > context; // the prompt is longer than the context
    this.seen = new Set(this.ids);
    for (const end of ends) this.seen.delete(end); // they are not part of the story
    this.uniforms = new Uniforms(seed);
    this.count = 0;
    this.finished = false;
    this.start = 0; // index of the first id in the model's window
    this.forget();
  }

  /** Drop the cache: the model will read its window again. */
  forget() {
    this.past = null;
    this.held = 0; // number of ids of the window in the cache
  }

  get windowed() {
    return this.start > 0;
  }

  /** Generate one more token: its id, or null at the end of the story; its surprise, -ln of its probability before
   *  the settings change it, in nats; and the tokens that were most likely, each with its probability. */
  async step(model, settings) {
    if (this.held === this.context) {
      this.start = this.ids.length - 1 - Math.floor(this.context / 2); // the newest half of the window
      this.forget();
    }
    this.past ??= model.empty();
    const unread = this.ids.slice(this.start + this.held);
    const { logits, past } = await model.read(unread, this.past, this.held);
    [this.past, this.held] = [past, this.held + unread.length];
    for (const id of this.unused) logits[id] = -Infinity;
    const { top, logTotal } = expected(logits);
    const own = logits.slice(); // `choose` changes them
    const id = choose(logits, settings, this.seen, this.uniforms.at(this.count));
    this.count += 1;
    this.finished = this.ends.includes(id);
    if (this.finished) return { id: null };
    this.ids.push(id);
    this.seen.add(id);
    return { id, surprise: logTotal - own[id], top };
  }
}
