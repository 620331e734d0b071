import type { LlamaConfig } from '@peftjs/io';

/** Llama in plain loops over one sequence, written from the papers and sharing nothing with the package: for comparison. */
type Row = number[];
type Weights = ReadonlyMap<string, ArrayLike<number>>;

const dot = (a: ArrayLike<number>, b: ArrayLike<number>, bStart = 0): number => {
  let s = 0;
  for (let i = 0; i < a.length; i++) s += a[i]! * b[bStart + i]!;
  return s;
};

const normed = (x: Row, gain: ArrayLike<number>, eps: number): Row => {
  const scale = 1 / Math.sqrt(dot(x, x) / x.length + eps);
  return x.map((v, i) => v * scale * gain[i]!);
};

const frequency = (c: LlamaConfig, pair: number): number => {
  const f = 1 / c.ropeTheta ** ((2 * pair) / c.headDim);
  const s = c.ropeScaling;
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

/** Extra rows that methods add: before the embedded tokens, or to the keys and values of every head of every layer. */
export interface Extras {
  readonly prompt?: readonly Row[];
  /** Key and value by [layer][row], each of keyValueHeads · headDim numbers. */
  readonly prefix?: { readonly keys: readonly (readonly Row[])[]; readonly values: readonly (readonly Row[])[] };
}

/** Logits of every token. */
export const naiveLogits = (
  c: LlamaConfig,
  weights: Weights,
  ids: readonly number[],
  { prompt = [], prefix }: Extras = {},
): Row[] => {
  const w = (name: string): ArrayLike<number> => weights.get(name)!;
  const linear = (path: string, x: Row, outDim: number): Row =>
    Array.from(
      { length: outDim },
      (_, o) => dot(x, w(`${path}.weight`), o * x.length) + (weights.get(`${path}.bias`)?.[o] ?? 0),
    );
  const table = w('model.embed_tokens.weight');
  let xs: Row[] = [
    ...prompt,
    ...ids.map((id) => Array.from({ length: c.hiddenSize }, (_, i) => table[id * c.hiddenSize + i]!)),
  ];
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
        const scores = keys.map((key) => Math.exp(dot(query, key) / Math.sqrt(c.headDim)));
        const total = scores.reduce((a, b) => a + b, 0);
        for (let i = 0; i < c.headDim; i++) mixed.push(scores.reduce((s, p, j) => s + (p / total) * values[j]![i]!, 0));
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
  return xs.slice(prompt.length).map((x) => linear(head, normed(x, w('model.norm.weight'), c.normEps), c.vocabSize));
};

/** Mean −log p(label), over labels that are not −100. */
export const naiveLoss = (logits: readonly Row[], labels: readonly number[]): number => {
  const losses = labels.flatMap((label, t) =>
    label === -100 ? [] : [Math.log(logits[t]!.reduce((s, l) => s + Math.exp(l), 0)) - logits[t]![label]!],
  );
  return losses.length === 0 ? 0 : losses.reduce((a, b) => a + b, 0) / losses.length;
};
