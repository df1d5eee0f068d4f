// What every layer computes, by a second graph that reads its weights out of the contents of the first.

import { row } from "./generator.js";
import * as ort from "./runtime/ort.js";

export class Activations {
  /** contents: of the graph of activations; graph: {file, contents} of the model that generates; about: about.json. */
  static async open(contents, graph, { shape, vocabulary }) {
    const weights = { path: graph.file.split("/").pop(), data: graph.contents };
    const options = { executionProviders: ["wasm"], externalData: [weights] };
    return new Activations(await ort.InferenceSession.create(contents, options), shape, vocabulary);
  }

  constructor(session, { layers, width }, vocabulary) {
    Object.assign(this, { session, layers, width, vocabulary });
  }

  /** For T ids: `embeddings` (T, D); and of each layer `pattern` (H, T, T), and at the last token `attention`, `mlp`
   *  (what they add) and `stream` (after the layer), (D) each; `lens`, the logits after the embedding and after each
   *  layer, (V) each. `buffers` are what they are stored in. */
  async run(ids) {
    const positions = new ort.Tensor("int64", BigInt64Array.of(BigInt(ids.length - 1)), [1]);
    const outputs = await this.session.run({ input_ids: row(ids), positions });
    const last = (name) => outputs[name].data.slice(-this.width);
    const embeddings = outputs["blocks.0.resid_pre"].data;
    const layers = Array.from({ length: this.layers }, (_, i) => ({
      pattern: outputs[`blocks.${i}.attn.pattern`].data,
      attention: last(`blocks.${i}.attn_out`),
      mlp: last(`blocks.${i}.mlp_out`),
      stream: last(`blocks.${i}.resid_post`),
    }));
    const rows = outputs.lens.dims[2];
    const lens = Array.from({ length: this.layers + 1 }, (_, i) => outputs.lens.data.slice(i * rows, i * rows + this.vocabulary));
    const arrays = [embeddings, ...lens, ...layers.flatMap((layer) => Object.values(layer))];
    return { count: ids.length, embeddings, layers, lens, buffers: arrays.map(({ buffer }) => buffer) };
  }

  close() {
    return this.session.release();
  }
}
