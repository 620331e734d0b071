import type { Gpt2Config } from '../src/index.ts';

import { activations, attended, type Extras, linear, normed, type Row, tableRow, type Weights } from './naive.ts';

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
