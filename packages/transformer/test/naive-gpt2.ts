import type { Gpt2Config } from '../src/index.ts';

import { attended, type Extras, linear, type Row, tableRow, type Weights } from './naive.ts';

const normed = (weights: Weights, path: string, x: Row, eps: number): Row => {
  const mean = x.reduce((a, b) => a + b, 0) / x.length;
  const variance = x.reduce((s, v) => s + (v - mean) ** 2, 0) / x.length;
  const [gain, shift] = [weights.get(`${path}.weight`)!, weights.get(`${path}.bias`)!];
  return x.map((v, i) => ((v - mean) / Math.sqrt(variance + eps)) * gain[i]! + shift[i]!);
};

/** The normal distribution function by Simpson's rule from 0 on. */
const normal = (x: number): number => {
  const density = (t: number): number => Math.exp((-t * t) / 2) / Math.sqrt(2 * Math.PI);
  const steps = 2000;
  const h = x / steps;
  let s = density(0) + density(x);
  for (let i = 1; i < steps; i++) s += (i % 2 === 1 ? 4 : 2) * density(i * h);
  return 0.5 + (s * h) / 3;
};

const activations: { readonly [A in Gpt2Config['activation']]: (x: number) => number } = {
  'gelu-tanh': (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
  gelu: (x) => x * normal(x),
  relu: (x) => Math.max(0, x),
  silu: (x) => x / (1 + Math.exp(-x)),
  tanh: Math.tanh,
};

/** GPT-2 in plain loops over one sequence, which begins at position `first`: logits of every token. */
export const naiveGpt2 = (
  c: Gpt2Config,
  weights: Weights,
  ids: readonly number[],
  { prompt = [], prefix }: Extras = {},
  first = 0,
): Row[] => {
  const table = (path: string, i: number): Row => tableRow(weights.get(`${path}.weight`)!, i, c.hiddenSize);
  let xs: Row[] = [...prompt, ...ids.map((id) => table('transformer.wte', id))].map((x, t) => {
    const position = table('transformer.wpe', first + t);
    return x.map((v, i) => v + position[i]!);
  });
  for (let layer = 0; layer < c.layers; layer++) {
    const at = `transformer.h.${layer}`;
    const qkv = xs.map((x) =>
      linear(weights, `${at}.attn.c_attn`, normed(weights, `${at}.ln_1`, x, c.normEps), 3 * c.hiddenSize),
    );
    const part = (row: Row, which: number, head: number): Row => {
      const start = which * c.hiddenSize + head * c.headDim;
      return row.slice(start, start + c.headDim);
    };
    const extra = (rows: readonly Row[] | undefined, head: number): Row[] => (rows ?? []).map((r) => part(r, 0, head));
    xs = xs.map((x, t) => {
      const mixed = Array.from({ length: c.heads }, (_, head) => {
        const seen = (which: number): Row[] => qkv.slice(0, t + 1).map((row) => part(row, which, head));
        return attended(
          part(qkv[t]!, 0, head),
          [...extra(prefix?.keys[layer], head), ...seen(1)],
          [...extra(prefix?.values[layer], head), ...seen(2)],
        );
      });
      const h = linear(weights, `${at}.attn.c_proj`, mixed.flat(), c.hiddenSize).map((d, i) => x[i]! + d);
      const inner = linear(weights, `${at}.mlp.c_fc`, normed(weights, `${at}.ln_2`, h, c.normEps), c.intermediateSize);
      return linear(weights, `${at}.mlp.c_proj`, inner.map(activations[c.activation]), c.hiddenSize).map(
        (d, i) => h[i]! + d,
      );
    });
  }
  const head = c.tieWordEmbeddings ? 'transformer.wte' : 'lm_head';
  return xs
    .slice(prompt.length)
    .map((x) => linear(weights, head, normed(weights, 'transformer.ln_f', x, c.normEps), c.vocabSize));
};
