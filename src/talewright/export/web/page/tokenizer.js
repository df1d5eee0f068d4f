// GPT-2's byte-level BPE (Sennrich et al. 2016; Radford et al. 2019), of a tokenizer.json: text to ids, ids to bytes.

const WORDS = new RegExp(
  // \s of JavaScript is not quite Unicode's white space, which the tokenizers library uses
  String.raw`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|` +
    String.raw`\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+`,
  "gu",
);
const CACHED_WORDS = 20000; // words whose ids are cached

/** The letter that stands for each byte in the vocabulary (GPT-2's bytes_to_unicode). */
function byteLetters() {
  const prints = (byte) => (byte >= 0x21 && byte < 0x7f) || (byte >= 0xa1 && byte < 0xad) || byte >= 0xae;
  let unseen = 0x100;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(prints(byte) ? byte : unseen++));
}

const LETTERS = byteLetters();
const BYTE_OF = new Map(LETTERS.map((letter, byte) => [letter, byte]));

export class Tokenizer {
  /** json: a parsed tokenizer.json that the export has checked. */
  constructor(json) {
    this.ids = new Map(Object.entries(json.model.vocab));
    this.ranks = new Map();
    json.model.merges.forEach((pair, rank) => {
      const [left, right] = typeof pair === "string" ? pair.split(" ") : pair;
      const key = `${left} ${right}`;
      if (!this.ranks.has(key)) this.ranks.set(key, rank);
    });
    this.bytes = []; // by id; empty for a special token, which has no text
    for (const [token, id] of this.ids) this.bytes[id] = Uint8Array.from(token, (letter) => BYTE_OF.get(letter) ?? 0);
    for (const token of json.added_tokens) this.bytes[token.id] = new Uint8Array();
    this.cache = new Map();
  }

  /** Ids of a text, without an end of text. Half a surrogate pair, which is no character, counts as U+FFFD. */
  encode(text) {
    const ids = [];
    for (const [word] of text.matchAll(WORDS)) for (const id of this.word(word)) ids.push(id);
    return ids;
  }

  word(word) {
    let ids = this.cache.get(word);
    if (ids === undefined) {
      const letters = Array.from(new TextEncoder().encode(word), (byte) => LETTERS[byte]);
      ids = merge(letters, this.ranks).map((token) => this.ids.get(token));
      if (this.cache.size >= CACHED_WORDS) this.cache.clear();
      this.cache.set(word, ids);
    }
    return ids;
  }
}

/** The tokens of one word: the neighbors that were learned first are merged, until no pair is left.
 *  A heap holds the pairs, so that a word of a hundred thousand letters takes only a moment. */
function merge(tokens, ranks) {
  const next = tokens.map((_, i) => i + 1);
  const before = tokens.map((_, i) => i - 1);
  const heap = new Heap();
  const offer = (i) => {
    const j = next[i];
    const rank = j < tokens.length ? ranks.get(`${tokens[i]} ${tokens[j]}`) : undefined;
    if (rank !== undefined) heap.push({ rank, i, left: tokens[i], right: tokens[j] });
  };
  tokens.forEach((_, i) => offer(i));
  for (let pair = heap.pop(); pair; pair = heap.pop()) {
    const { i, left, right } = pair;
    const j = next[i];
    if (tokens[i] !== left || tokens[j] !== right) continue; // one of the two is already part of another token
    tokens[i] = left + right;
    tokens[j] = null;
    next[i] = next[j];
    if (next[j] < tokens.length) before[next[j]] = i;
    if (before[i] >= 0) offer(before[i]);
    offer(i);
  }
  return tokens.filter((token) => token !== null);
}

/** The lowest rank first; of equal ranks, the one further left. */
class Heap {
  constructor() {
    this.items = [];
  }

  push(item) {
    const { items } = this;
    let at = items.push(item) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!earlier(item, items[parent])) break;
      items[at] = items[parent];
      at = parent;
    }
    items[at] = item;
  }

  pop() {
    const { items } = this;
    const [first] = items;
    const last = items.pop();
    if (items.length === 0) return first;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= items.length) break;
      if (child + 1 < items.length && earlier(items[child + 1], items[child])) child += 1;
      if (!earlier(items[child], last)) break;
      items[at] = items[child];
      at = child;
    }
    items[at] = last;
    return first;
  }
}

function earlier(a, b) {
  return a.rank !== b.rank ? a.rank < b.rank : a.i < b.i;
}
