// From logits to the next token, as talewright/generate/samplers.py does it: penalty, temperature, top-k, top-p, sampling.

const BLOCK = 256; // random numbers of a story that are computed at once

/** The next token. logits: Float32Array, which is changed; settings: {temperature, topK, topP, penalty}, topK and topP
 *  null for none; seen: the ids that the story holds; uniform: a number in [0, 1). */
export function choose(logits, settings, seen, uniform) {
  return pick(distribution(logits, settings, seen), uniform);
}

/** What the next token is sampled from: `kept`, ids that rise, with their `weights`, which sum to `total`. */
export function distribution(logits, { temperature, topK, topP, penalty }, seen) {
  if (penalty !== 1) for (const id of seen) logits[id] = logits[id] < 0 ? logits[id] * penalty : logits[id] / penalty;
  for (let i = 0; i < logits.length; i++) logits[i] /= temperature;
  const floor = topK === null ? -Infinity : kthLargest(logits, topK);
  let { kept, weights, total } = softmax(logits, floor);
  if (topP !== null && topP < 1) {
    const least = nucleusFloor(weights, total, topP);
    const inside = kept.map((_, n) => n).filter((n) => weights[n] >= least);
    kept = inside.map((n) => kept[n]);
    weights = inside.map((n) => weights[n]);
    total = weights.reduce((sum, weight) => sum + weight, 0);
  }
  return { kept, weights, total };
}

/** The token of a distribution at a number in [0, 1). */
export function pick({ kept, weights, total }, uniform) {
  let cumulative = 0;
  for (let n = 0; n < kept.length; n++) {
    cumulative += weights[n];
    if (cumulative > uniform * total) return kept[n];
  }
  return kept[kept.length - 1];
}

/** The model's own probabilities: `top`, the most likely `count` tokens, [id, probability] each, and `logTotal`: a
 *  token's probability is exp(its logit - logTotal). */
export function expected(logits, count = 5) {
  const top = []; // ids, the most likely first
  for (let id = 0; id < logits.length; id++) {
    if (top.length === count && logits[id] <= logits[top[count - 1]]) continue;
    let at = top.length;
    while (at > 0 && logits[top[at - 1]] < logits[id]) at -= 1;
    top.splice(at, 0, id);
    top.length = Math.min(top.length, count);
  }
  const largest = logits[top[0]];
  let total = 0;
  for (const logit of logits) total += Math.exp(logit - largest);
  const logTotal = largest + Math.log(total);
  return { top: top.map((id) => [id, Math.exp(logits[id] - logTotal)]), logTotal };
}

/** The ids whose logits are `floor` or more, rising, and their weights: probabilities that sum to `total`. */
function softmax(logits, floor) {
  let largest = -Infinity;
  for (const logit of logits) if (logit > largest) largest = logit;
  const kept = [];
  const weights = [];
  let total = 0;
  for (let id = 0; id < logits.length; id++) {
    if (logits[id] < floor) continue;
    const weight = Math.exp(logits[id] - largest);
    kept.push(id);
    weights.push(weight);
    total += weight;
  }
  return { kept, weights, total };
}

/** The k-th largest value; what ties with it is kept as well. */
function kthLargest(values, k) {
  return Float32Array.from(values).sort()[Math.max(0, values.length - k)];
}

/** The least weight among the fewest that hold p of the total (Holtzman et al. 2019, arXiv:1904.09751). */
function nucleusFloor(weights, total, p) {
  const falling = Float64Array.from(weights).sort().reverse();
  let cumulative = 0;
  for (const weight of falling) {
    cumulative += weight;
    if (cumulative >= p * total) return weight;
  }
  return 0;
}

/** Numbers in [0, 1) for a story's tokens: the engine's own, so that a seed gives the same story in both. */
export class Uniforms {
  constructor(seed) {
    this.key = BigInt(seed);
    this.block = -1;
    this.numbers = [];
  }

  at(token) {
    const block = Math.floor(token / BLOCK);
    if (block !== this.block) {
      this.numbers = philox(this.key, BigInt(block), BLOCK).map((raw) => Number(raw >> 41n) * 2 ** -23);
      this.block = block;
    }
    return this.numbers[token % BLOCK];
  }
}

const WORD = (1n << 64n) - 1n;
const MULTIPLIERS = [0xd2e7470ee14c6c93n, 0xca5a826395121157n];
const WEYL = [0x9e3779b97f4a7c15n, 0xbb67ae8584caa73bn];

/** `count` words of 64 bits of Philox4x64-10 (Salmon et al. 2011) as numpy.random.Philox gives them with
 *  key = [key, 0] and counter = [0, 0, block, 0], of which it takes the next one before it begins. */
export function philox(key, block, count) {
  const words = [];
  for (let counter = 1n; words.length < count; counter++) words.push(...rounds([counter, 0n, block, 0n], [key, 0n]));
  return words.slice(0, count);
}

function rounds([a, b, c, d], [k0, k1]) {
  for (let round = 0; round < 10; round++) {
    const [p, q] = [a * MULTIPLIERS[0], c * MULTIPLIERS[1]];
    [a, b, c, d] = [(q >> 64n) ^ b ^ k0, q & WORD, (p >> 64n) ^ d ^ k1, p & WORD];
    [k0, k1] = [(k0 + WEYL[0]) & WORD, (k1 + WEYL[1]) & WORD];
  }
  return [a, b, c, d];
}
