import type { T5Config } from '../src/index.ts';
import { activations, attended, dot, linear, type Row, tableRow, type Weights } from './naive.ts';

/** The texts of encoder and decoder, and which tokens of each are seen. */
export interface NaivePair {
  readonly ids: readonly number[];
  readonly decoderIds: readonly number[];
  readonly seen?: readonly boolean[];
  readonly decoderSeen?: readonly boolean[];
}

const add = (a: Row, b: Row): Row => a.map((v, i) => v + b[i]!);

/** x · weight / √(mean x² + eps). */
const scaled = (weights: Weights, path: string, x: Row, eps: number): Row => {
  const size = Math.sqrt(dot(x, x) / x.length + eps);
  return x.map((v, i) => (v / size) * weights.get(`${path}.weight`)![i]!);
};

/**
 * The bucket of a key `far` tokens before a query: half of the buckets one distance each, the other half distances that grow by a common
 * factor up to the largest.
 */
const bucketOf = (far: number, buckets: number, largest: number): number => {
  const exact = buckets / 2;
  let bucket = Math.min(far, exact);
  if (far < exact) return bucket;
  const factor = (largest / exact) ** (1 / (buckets - exact));
  for (let end = exact * factor; bucket < buckets - 1 && far >= end - 1e-9; end *= factor) bucket++;
  return bucket;
};

/** T5 in plain loops over one pair of texts (Raffel et al., 2019): logits of every token of the decoder. */
export const naiveT5 = (c: T5Config, weights: Weights, pair: NaivePair): Row[] => {
  const embed = (ids: readonly number[]): Row[] =>
    ids.map((id) => tableRow(weights.get('shared.weight')!, id, c.hiddenSize));
  const norm = (path: string, x: Row): Row => scaled(weights, path, x, c.normEps);
  const width = c.heads * c.headDim;
  const part = (row: Row, head: number): Row => row.slice(head * c.headDim, (head + 1) * c.headDim);

  const attend = (
    path: string,
    x: Row,
    theirs: readonly Row[],
    sees: (key: number) => boolean,
    bias: (key: number, head: number) => number,
  ): Row => {
    const query = linear(weights, `${path}.q`, x, width);
    const shown = theirs.flatMap((row, i) => (sees(i) ? [{ row, i }] : []));
    const [keys, values] = ['k', 'v'].map((name) =>
      shown.map(({ row }) => linear(weights, `${path}.${name}`, row, width)),
    );
    const mixed = Array.from({ length: c.heads }, (_, head) =>
      attended(
        part(query, head),
        keys!.map((row) => part(row, head)),
        values!.map((row) => part(row, head)),
        (product, i) => product + bias(shown[i]!.i, head),
      ),
    );
    return linear(weights, `${path}.o`, mixed.flat(), c.hiddenSize);
  };

  const feedForward = (path: string, x: Row): Row => {
    const inner = (name: string): Row => linear(weights, `${path}.${name}`, x, c.intermediateSize);
    const act = activations[c.activation];
    const gated = c.gated ? inner('wi_0').map((v, i) => act(v) * inner('wi_1')[i]!) : inner('wi').map(act);
    return linear(weights, `${path}.wo`, gated, c.hiddenSize);
  };

  const stack = (
    name: 'encoder' | 'decoder',
    layers: number,
    ids: readonly number[],
    seen: readonly boolean[],
    encoded: { readonly rows: readonly Row[]; readonly seen: readonly boolean[] } | null,
  ): Row[] => {
    const table = weights.get(`${name}.block.0.layer.0.SelfAttention.relative_attention_bias.weight`)!;
    const both = name === 'encoder';
    const biasOf = (query: number, key: number, head: number): number => {
      const size = both ? c.buckets / 2 : c.buckets;
      const far = both ? Math.abs(query - key) : Math.max(0, query - key);
      return table[(bucketOf(far, size, c.maxDistance) + (both && key > query ? size : 0)) * c.heads + head]!;
    };
    let xs = embed(ids);
    for (let layer = 0; layer < layers; layer++) {
      const at = `${name}.block.${layer}.layer`;
      const ready = xs.map((x) => norm(`${at}.0.layer_norm`, x));
      xs = xs.map((x, t) => {
        const sees = (key: number): boolean => (seen[key] ?? true) && (both || key <= t);
        let h = add(
          x,
          attend(`${at}.0.SelfAttention`, ready[t]!, ready, sees, (key, head) => biasOf(t, key, head)),
        );
        if (encoded)
          h = add(
            h,
            attend(
              `${at}.1.EncDecAttention`,
              norm(`${at}.1.layer_norm`, h),
              encoded.rows,
              (key) => encoded.seen[key] ?? true,
              () => 0,
            ),
          );
        const mlp = encoded ? 2 : 1;
        return add(h, feedForward(`${at}.${mlp}.DenseReluDense`, norm(`${at}.${mlp}.layer_norm`, h)));
      });
    }
    return xs.map((x) => norm(`${name}.final_layer_norm`, x));
  };

  const { ids, decoderIds, seen = [], decoderSeen = [] } = pair;
  const rows = stack('encoder', c.encoderLayers, ids, seen, null);
  const head = c.tieWordEmbeddings ? 'shared' : 'lm_head';
  const factor = c.scaledHead ? 1 / Math.sqrt(c.hiddenSize) : 1;
  return stack('decoder', c.layers, decoderIds, decoderSeen, { rows, seen }).map((x) =>
    linear(
      weights,
      head,
      x.map((v) => v * factor),
      c.vocabSize,
    ),
  );
};
