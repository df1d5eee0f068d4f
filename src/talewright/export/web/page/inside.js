// The look inside: walks through a text token by token, and shows what the model computes at each of them.

import { onTheme } from "./drawing.js";
import { Heads } from "./inside-heads.js";
import { drawCandidates, drawLens, drawStream, drawTokens, initTokens } from "./inside-panels.js";
import { distribution, pick, Uniforms } from "./sampler.js";

const MOST = 128; // tokens: the patterns of more would fill the memory of a phone
const PAUSE = 900; // ms between two steps of its own
const MIRRORED = ["temperature", "top-k", "top-p"];
const element = (id) => document.getElementById(id);

export class Inside {
  /** about: about.json; send: sends a task to the worker. */
  constructor(about, send) {
    Object.assign(this, { about, send, ids: [], at: 0, seen: null, texts: [], turn: 0, busy: false, playing: null });
    this.limit = Math.min(MOST, about.context);
    this.heads = new Heads(about.shape, () => this.seen && this.drawTokens());
    initTokens((at) => this.go(at));
    this.listen();
  }

  listen() {
    element("inside-form").onsubmit = (event) => {
      event.preventDefault();
      this.begin(element("inside-text").value, false);
    };
    element("inside-back").onclick = () => this.go(this.at - 1);
    element("inside-next").onclick = () => this.next();
    element("inside-play").onclick = () => this.play(this.playing === null);
    for (const id of MIRRORED) {
      const [here, there] = [element(`inside-${id}`), element(id)];
      here.addEventListener("input", () => {
        there.value = here.value;
        there.dispatchEvent(new Event("input"));
        if (this.seen) this.drawNext();
      });
    }
    onTheme(() => this.seen && this.draw());
  }

  /** Show a prompt, or, to `follow` it, the page's story, which was sampled with this seed. */
  open(prompt, follow, seed) {
    this.uniforms = new Uniforms(seed);
    for (const id of MIRRORED) {
      element(`inside-${id}`).value = element(id).value;
      element(`inside-${id}`).dispatchEvent(new Event("input"));
    }
    element("inside-text").value = prompt;
    this.begin(prompt, follow);
  }

  close() {
    this.play(false);
  }

  begin(prompt, follow) {
    this.play(false);
    this.turn += 1; // answers to earlier questions are not shown
    this.busy = true;
    this.seen = null;
    this.say(this.texts.length ? "Reading …" : "Loading what the view needs …");
    this.ask({ do: "tokenize", prompt: prompt.replace(/[ \t\r\n]+$/, ""), follow });
  }

  ask(task) {
    this.send({ ...task, turn: this.turn });
  }

  receive({ turn, begun, seen, failed }) {
    if (turn !== this.turn) return;
    this.busy = false;
    if (failed) {
      this.play(false);
      this.say(failed);
    } else if (begun) {
      this.texts = begun.texts;
      this.ids = begun.ids.slice(0, this.limit);
      this.prompt = begun.prompt; // number of ids before the first sampled one
      this.go(Math.min(begun.prompt, this.ids.length) - 1);
    } else {
      this.seen = seen;
      this.draw();
      if (this.playing !== null) this.playing = setTimeout(() => this.next(), PAUSE);
    }
  }

  /** Look at the token at `at`. */
  go(at) {
    if (this.busy || at < 0 || at >= this.ids.length) return;
    this.at = at;
    this.busy = true;
    this.ask({ do: "look", ids: this.ids.slice(0, at + 1) });
  }

  /** The next token: the one that the text has, or the sampled one. */
  next() {
    if (this.busy || this.seen === null) return;
    if (this.ended) this.play(false);
    else if (this.at + 1 < this.ids.length) this.go(this.at + 1);
    else this.continueWith(this.sampled);
  }

  /** Continue with this token in place of the text that follows. */
  continueWith(id) {
    if (this.busy || this.ended) return;
    this.ids = [...this.ids.slice(0, this.at + 1), id];
    this.go(this.at + 1);
  }

  play(on) {
    clearTimeout(this.playing);
    this.playing = on ? 0 : null;
    element("inside-play").textContent = on ? "Pause" : "Play";
    if (on) this.next();
  }

  /** Whether nothing can follow: the end of the text, or as many tokens as the view takes. */
  get ended() {
    return this.at + 1 >= this.limit || (this.at > 0 && this.about.ends.includes(this.ids[this.at]));
  }

  settings() {
    const [temperature, topK, topP] = MIRRORED.map((id) => Number(element(`inside-${id}`).value));
    return { temperature, topK: topK || null, topP, penalty: Number(element("penalty").value) };
  }

  // --- drawing --------------------------------------------------------------------------------------------------------

  draw() {
    const held = document.activeElement;
    element("inside-views").hidden = false;
    this.heads.draw(this.seen, this.tokens);
    this.drawTokens();
    this.drawNext();
    drawStream(this.seen);
    drawLens(this.seen.lens, this.texts);
    element("inside-back").disabled = this.at === 0;
    element("inside-next").disabled = element("inside-play").disabled = this.ended;
    if (held.disabled) element(this.ended ? "inside-back" : "inside-next").focus(); // of a disabled button, it is lost
  }

  get tokens() {
    return this.ids.map((id, i) => (i === 0 && id === this.about.begin ? "⟨start⟩" : this.texts[id]));
  }

  drawTokens() {
    drawTokens(this.tokens, this.at, this.seen.embeddings, this.heads.attention());
  }

  drawNext() {
    const raw = this.seen.lens.at(-1).slice();
    for (const id of this.about.unused) raw[id] = -Infinity;
    const seen = new Set(this.ids.slice(0, this.at + 1));
    for (const end of this.about.ends) seen.delete(end);
    const kept = distribution(raw.slice(), this.settings(), seen);
    this.sampled = pick(kept, this.uniforms.at(Math.max(0, this.at + 1 - this.prompt)));
    const next = this.ids[this.at + 1] ?? this.sampled;
    const candidates = drawCandidates({ raw, kept, next, texts: this.texts, ended: this.ended }, (id) => this.continueWith(id));
    const place = `Token ${this.at + 1} of ${this.ids.length}: “${this.tokens[this.at]}”.`;
    this.say(this.ended ? `${place} ${this.at + 1 >= this.limit ? `This view ends at ${this.limit} tokens.` : "The story ends here."}` : `${place} Most likely next: ${candidates}.`);
  }

  say(message) {
    element("inside-status").textContent = message;
  }
}
