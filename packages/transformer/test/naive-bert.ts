import type { BertConfig } from '../src/index.ts';
import { activations, attended, linear, normed, type Row, tableRow, type Weights } from './naive.ts';

/** A text: its tokens, their types, and which of them are seen. */
export interface NaiveText {
  readonly ids: readonly number[];
  readonly types?: readonly number[];
  readonly seen?: readonly boolean[];
}

const sum = (...rows: readonly Row[]): Row => rows[0]!.map((_, i) => rows.reduce((s, row) => s + row[i]!, 0));

/** BERT's encoder in plain loops over one sequence (Devlin et al., 2018): the last state of every token. */
const naiveBert = (c: BertConfig, weights: Weights, { ids, types = [], seen = [] }: NaiveText): Row[] => {
  const table = (name: string, i: number): Row =>
    tableRow(weights.get(`bert.embeddings.${name}_embeddings.weight`)!, i, c.hiddenSize);
  const norm = (path: string, x: Row): Row => normed(weights, path, x, c.normEps);
  let xs = ids.map((id, t) =>
    norm('bert.embeddings.LayerNorm', sum(table('word', id), table('position', t), table('token_type', types[t] ?? 0))),
  );
  const visible = <T>(all: readonly T[]): T[] => all.filter((_, t) => seen[t] ?? true);
  for (let layer = 0; layer < c.layers; layer++) {
    const at = `bert.encoder.layer.${layer}`;
    const project = (name: string): Row[] =>
      xs.map((x) => linear(weights, `${at}.attention.self.${name}`, x, c.hiddenSize));
    const [queries, keys, values] = [project('query'), project('key'), project('value')];
    xs = xs.map((x, t) => {
      const mixed = Array.from({ length: c.heads }, (_, head) => {
        const part = (row: Row): Row => row.slice(head * c.headDim, (head + 1) * c.headDim);
        return attended(part(queries[t]!), visible(keys!).map(part), visible(values!).map(part));
      });
      const h = norm(
        `${at}.attention.output.LayerNorm`,
        sum(x, linear(weights, `${at}.attention.output.dense`, mixed.flat(), c.hiddenSize)),
      );
      const inner = linear(weights, `${at}.intermediate.dense`, h, c.intermediateSize).map(activations[c.activation]);
      return norm(`${at}.output.LayerNorm`, sum(h, linear(weights, `${at}.output.dense`, inner, c.hiddenSize)));
    });
  }
  return xs;
};

/** Logits of a text's classes. */
export const naiveClasses = (c: BertConfig, weights: Weights, text: NaiveText, labels: number): Row => {
  const [first] = naiveBert(c, weights, text);
  const pooled = linear(weights, 'bert.pooler.dense', first!, c.hiddenSize).map(Math.tanh);
  return linear(weights, 'classifier', pooled, labels);
};

/** Logits of the vocabulary at every token. */
export const naiveMasked = (c: BertConfig, weights: Weights, text: NaiveText): Row[] => {
  const head = 'cls.predictions';
  const bias = weights.get(`${head}.decoder.bias`)!;
  const decoder = c.tieWordEmbeddings ? 'bert.embeddings.word_embeddings' : `${head}.decoder`;
  const plain = new Map([['decoder.weight', weights.get(`${decoder}.weight`)!]]);
  return naiveBert(c, weights, text).map((x) => {
    const inner = linear(weights, `${head}.transform.dense`, x, c.hiddenSize).map(activations[c.activation]);
    const row = normed(weights, `${head}.transform.LayerNorm`, inner, c.normEps);
    return linear(plain, 'decoder', row, c.vocabSize).map((logit, i) => logit + bias[i]!);
  });
};
