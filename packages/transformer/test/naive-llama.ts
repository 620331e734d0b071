import type { LlamaConfig } from '../src/index.ts';

import { attended, dot, type Extras, linear as plainLinear, type Row, tableRow, type Weights } from './naive.ts';

const normed = (x: Row, gain: ArrayLike<number>, eps: number, shift?: ArrayLike<number>): Row => {
  const scale = 1 / Math.sqrt(dot(x, x) / x.length + eps);
  return x.map((v, i) => v * scale * gain[i]! + (shift?.[i] ?? 0));
};

const frequency = (c: LlamaConfig, pair: number): number => {
  const f = 1 / c.ropeTheta ** ((2 * pair) / c.headDim);
  const s = c.ropeScaling?.kind === 'llama3' ? c.ropeScaling : null;
  if (!s) return f;
  const wavelength = (2 * Math.PI) / f;
  if (wavelength > s.originalMaxPositions / s.lowFrequencyFactor) return f / s.factor;
  if (wavelength < s.originalMaxPositions / s.highFrequencyFactor) return f;
  const smooth =
    (s.originalMaxPositions / wavelength - s.lowFrequencyFactor) / (s.highFrequencyFactor - s.lowFrequencyFactor);
  return ((1 - smooth) * f) / s.factor + smooth * f;
};

const rotated = (c: LlamaConfig, head: Row, position: number): Row => {
  const half = c.headDim / 2;
  return head.map((v, i) => {
    const angle = position * frequency(c, i % half);
    const other = i < half ? -head[i + half]! : head[i - half]!;
    return v * Math.cos(angle) + other * Math.sin(angle);
  });
};

/** Llama in plain loops over one sequence: logits of every token. */
export const naiveLlama = (
  c: LlamaConfig,
  weights: Weights,
  ids: readonly number[],
  { prompt = [], prefix }: Extras = {},
): Row[] => {
  const w = (name: string): ArrayLike<number> => weights.get(name)!;
  const linear = (path: string, x: Row, outDim: number): Row => plainLinear(weights, path, x, outDim);
  const table = w('model.embed_tokens.weight');
  let xs: Row[] = [...prompt, ...ids.map((id) => tableRow(table, id, c.hiddenSize))];
  const headOf = (row: Row, h: number): Row => row.slice(h * c.headDim, (h + 1) * c.headDim);

  for (let layer = 0; layer < c.layers; layer++) {
    const at = `model.layers.${layer}`;
    const ins = xs.map((x) => normed(x, w(`${at}.input_layernorm.weight`), c.normEps));
    const q = ins.map((x) => linear(`${at}.self_attn.q_proj`, x, c.heads * c.headDim));
    const k = ins.map((x) => linear(`${at}.self_attn.k_proj`, x, c.keyValueHeads * c.headDim));
    const v = ins.map((x) => linear(`${at}.self_attn.v_proj`, x, c.keyValueHeads * c.headDim));
    xs = xs.map((x, t) => {
      const mixed: Row = [];
      for (let h = 0; h < c.heads; h++) {
        const group = Math.floor(h / (c.heads / c.keyValueHeads));
        const query = rotated(c, headOf(q[t]!, h), t);
        const keys = [
          ...(prefix?.keys[layer] ?? []).map((row) => headOf(row, group)),
          ...k.slice(0, t + 1).map((row, s) => rotated(c, headOf(row, group), s)),
        ];
        const values = [...(prefix?.values[layer] ?? []), ...v.slice(0, t + 1)].map((row) => headOf(row, group));
        mixed.push(...attended(query, keys, values));
      }
      const h = linear(`${at}.self_attn.o_proj`, mixed, c.hiddenSize).map((d, i) => x[i]! + d);
      const inner = normed(h, w(`${at}.post_attention_layernorm.weight`), c.normEps);
      const gate = linear(`${at}.mlp.gate_proj`, inner, c.intermediateSize);
      const up = linear(`${at}.mlp.up_proj`, inner, c.intermediateSize);
      return linear(
        `${at}.mlp.down_proj`,
        gate.map((g, i) => (g / (1 + Math.exp(-g))) * up[i]!),
        c.hiddenSize,
      ).map((d, i) => h[i]! + d);
    });
  }
  const head = c.tieWordEmbeddings ? 'model.embed_tokens' : 'lm_head';
  const [gain, shift] = [w('model.norm.weight'), weights.get('model.norm.bias')]; // methods may give it a bias
  return xs.slice(prompt.length).map((x) => linear(head, normed(x, gain, c.normEps, shift), c.vocabSize));
};
