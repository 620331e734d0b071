import type { Emitter, Value } from './emitter.ts';
import { type ProductOptions, product, productBy } from './matmul.ts';
import type { Rule } from './rule.ts';
import { availableAfter, numbersAfter } from './shape.ts';
import { wholeProduct } from './whole-products.ts';

interface LossAttrs {
  readonly ignoreIndex: number;
  readonly chunk: number;
}

interface Rows {
  readonly hidden: Value;
  readonly labels: Value;
}

/** A head's weight [vocabulary, dim] as it is stored: floats, or codes of 8 bits with a scale for each row. */
interface Head {
  readonly weight: Value;
  readonly scale: Value | null;
}

/** Codes turned once for all chunks. */
const turnedOnce = (g: Emitter, codes: Value): Value => g.cast(g.transpose(codes, [1, 0]), 'int8');

/**
 * A product by it, which of codes multiplies whole numbers. Rows of a softmax go in three digits, as exactly as f32 has them: near to 1 in one place, they are a millionth in the thousands of others, whose sum is what the gradient is of.
 * In two digits these are nothing: SmolLM2-135M then ended 300 steps 0.021 nats above f32, and in three 0.001.
 */
const productByHead = (g: Emitter, x: Value, { weight, scale }: Head, { transposeB = false }: ProductOptions): Value =>
  scale
    ? wholeProduct(
        g,
        x,
        { codes: weight, scale },
        { transposed: !transposeB, digits: transposeB ? 2 : 3, turn: (codes) => turnedOnce(g, codes) },
      )
    : productBy(g, x, weight, { transposeB });

/** Rows of it, in floats. */
const rowsOfHead = (g: Emitter, { weight, scale }: Head, rows: Value): Value => {
  const shape = [...rows.shape, weight.shape[1]!];
  const values = g.node('Gather', [weight, rows], shape);
  if (!scale) return g.cast(values, 'float');
  const scales = g.node('Gather', [scale, rows], [...rows.shape, 1]);
  return g.node('Mul', [g.cast(g.cast(values, 'int8'), 'float'), scales], shape);
};

/** Logits that exist at a time: 8 MiB of them. Fewer rows than `leastRows` would cost more in products than the memory is worth; a head of whole numbers is a quarter of the bytes to read for them. */
const mostLogits = 2 ** 21;
const leastRows = { floats: 128, whole: 64 } as const;

/** Chunks, at most: each is nodes of the graph, and ONNX Runtime takes time quadratic in nodes to load it. */
const mostChunks = 64;

/** Rows of a chunk, so that few logits exist at a time; more where there are so many rows that the logits are small beside them. */
const chunkSize = (count: number, vocabulary: number, chunk: number, least: number): number =>
  Math.max(Math.min(chunk, Math.max(least, Math.floor(mostLogits / vocabulary))), Math.ceil(count / mostChunks));

/** Rows [from, from + size) of those that have a label, once `tokens` are there; fewer, or none, at the end. */
const chunkOf = (g: Emitter, { hidden, labels }: Rows, from: number, size: number, tokens: readonly Value[]): Rows => {
  const part = (x: Value, start: Value): Value =>
    g.node('Slice', [x, start, g.ints([from + size]), g.ints([0])], [size, ...x.shape.slice(1)]);
  return { hidden: part(hidden, numbersAfter(g, [from], tokens)), labels: part(labels, g.ints([from])) };
};

const columnOf = (g: Emitter, labels: Value): Value =>
  g.node('Unsqueeze', [labels, g.ints([1])], [labels.shape[0]!, 1]);

/** The largest of each row. */
const largest = (g: Emitter, x: Value): Value =>
  g.node('ReduceMax', [x, g.ints([1])], [x.shape[0]!, 1], { keepdims: 1 });

/**
 * The softmax of each row, and −log p(label) of it: the label's distance from the largest logit, less log p of that one. The latter is at least
 * 1 / vocabulary, where p of the label may have lost digits. Nothing needs the logits once there are probabilities, which may take their place.
 */
const lossesOf = (g: Emitter, logits: Value, labels: Value): { readonly losses: Value; readonly weights: Value } => {
  const shape = [logits.shape[0]!, 1];
  const column = columnOf(g, labels);
  const distance = g.node(
    'Sub',
    [largest(g, logits), g.node('GatherElements', [logits, column], shape, { axis: 1 })],
    shape,
  );
  const weights = g.node('Softmax', [logits], logits.shape, { axis: -1 });
  const losses = g.node('Sub', [distance, g.node('Log', [largest(g, weights)], shape)], shape);
  return { losses, weights };
};

/** Losses of the rows of one chunk, their sum, and gradients of that sum. The logits are of the chunk alone. */
const chunkLoss = (
  g: Emitter,
  { hidden, labels }: Rows,
  head: Head,
  wanted: { readonly dHidden: boolean; readonly dWeight: boolean },
) => {
  const size = labels.shape[0]!;
  const logits = productByHead(g, hidden, head, { transposeB: true });
  const { losses, weights } = lossesOf(g, logits, labels);
  const loss = g.node('ReduceSum', [losses], [], { keepdims: 0 });
  if (!wanted.dHidden && !wanted.dWeight) return { losses, loss, dHidden: null, dWeight: null };
  if (!wanted.dWeight) {
    // softmax·W − W[label]: the one-hot labels never meet a product.
    const own = rowsOfHead(g, head, labels);
    const expected = productByHead(g, weights, head, {});
    return { losses, loss, dHidden: g.node('Sub', [expected, own], hidden.shape), dWeight: null };
  }
  const column = columnOf(g, labels);
  const minusOne = g.node('Expand', [g.scalar(-1), g.node('Shape', [column], [2], {}, 'int64')], [size, 1]);
  const dLogits = g.node('ScatterElements', [weights, column, minusOne], weights.shape, { axis: 1, reduction: 'add' });
  return {
    losses,
    loss,
    dHidden: wanted.dHidden ? productByHead(g, dLogits, head, {}) : null,
    dWeight: product(g, dLogits, hidden, { transposeA: true }),
  };
};

/** The rows that have a label, and what a head makes of them, chunk by chunk; null where there is no row at all. */
const labelledChunks = (
  t: Parameters<Rule<'hidden' | 'weight' | 'labels', LossAttrs, 'scale'>>[0],
  { ignoreIndex, chunk }: LossAttrs,
  wanted: { readonly dHidden: boolean; readonly dWeight: boolean },
) => {
  const { g, hidden, weight, labels, scale = null } = t;
  const [count, width] = hidden.shape as [number, number];
  if (count === 0) return null;
  const test = (type: string, value: number): Value =>
    g.node(type, [labels, g.scalar(value, 'int32')], [count], {}, 'bool');
  const inRange = g.node('And', [test('GreaterOrEqual', 0), test('Less', weight.shape[0]!)], [count]);
  const hasLabel = g.node('And', [inRange, g.node('Not', [test('Equal', ignoreIndex)], [count])], [count]);
  const picked = g.reshape(g.node('NonZero', [hasLabel], [1, count], {}, 'int64'), [-1]);
  const rows: Value = { ...picked, shape: [count] };
  const all = {
    hidden: g.node('Gather', [hidden, rows], [count, width]),
    labels: g.node('Gather', [labels, rows], [count]),
  };
  // Codes are made int8, and turned, once for all chunks, and not before there are rows.
  const head = { weight: scale ? availableAfter(g, weight, all.hidden) : weight, scale };
  const size = chunkSize(count, weight.shape[0]!, chunk, scale ? leastRows.whole : leastRows.floats);
  const starts = Array.from({ length: Math.ceil(count / size) }, (_, i) => i * size);
  const chunks: ReturnType<typeof chunkLoss>[] = [];
  let [dWeight, tokens]: [Value | null, readonly Value[]] = [null, []];
  for (const from of starts) {
    // All of a chunk is made before the next: ONNX Runtime would make the losses of all chunks first, or last, and hold all logits as long.
    const part = starts.length === 1 ? all : chunkOf(g, all, from, Math.min(size, count - from), tokens);
    const made = chunkLoss(g, part, head, wanted);
    dWeight = dWeight && made.dWeight ? g.node('Add', [dWeight, made.dWeight], dWeight.shape) : made.dWeight;
    tokens = [made.loss, made.dHidden, dWeight].filter((x) => x !== null);
    chunks.push(made);
  }
  /** Parts of the chunks, where their rows were; zeros elsewhere. */
  const spread = (parts: readonly Value[], shape: readonly number[], change = (x: Value): Value => x): Value => {
    const compact = parts.length === 1 ? parts[0]! : g.node('Concat', parts, shape, { axis: 0 });
    return g.node(
      'ScatterND',
      [g.zeros({ shape, dtype: 'f32' }), g.node('Unsqueeze', [rows, g.ints([1])], [count, 1]), change(compact)],
      shape,
    );
  };
  return { rows, chunks, dWeight, spread };
};

/** The mean over labelled rows, and its gradients made in the same pass, chunk by chunk; rows without a label take no part. */
export const head_cross_entropy: Rule<'hidden' | 'weight' | 'labels', LossAttrs, 'scale'> = (t, attrs) => {
  const { g, hidden, isUsed } = t;
  const made = labelledChunks(t, attrs, { dHidden: isUsed(1), dWeight: isUsed(2) });
  if (!made) return [g.scalar(0), null, g.zeros(t.outs[2]!)];
  const { rows, chunks, dWeight, spread } = made;
  const labelled = g.cast(g.node('Size', [rows], [], {}, 'int64'), 'float');
  const share = g.node('Reciprocal', [g.node('Max', [labelled, g.scalar(1)], [])], []);
  const average = (x: Value): Value => g.node('Mul', [x, share], x.shape);
  const loss = chunks.map((c) => c.loss).reduce((sum, x) => g.node('Add', [sum, x], []));
  const dHidden = isUsed(1)
    ? spread(
        chunks.map((c) => c.dHidden!),
        hidden.shape,
        average,
      )
    : null;
  return [average(loss), dHidden, dWeight && average(dWeight)];
};

/** The loss of each labelled row, and its gradient by the row; 0 for the others. */
export const head_label_losses: Rule<'hidden' | 'weight' | 'labels', LossAttrs, 'scale'> = (t, attrs) => {
  const { g, hidden, labels, isUsed } = t;
  const made = labelledChunks(t, attrs, { dHidden: isUsed(1), dWeight: false });
  if (!made) return [g.zeros(t.outs[0]!), g.zeros(t.outs[1]!)];
  const { chunks, spread } = made;
  const flat = chunks.map((c) => g.node('Squeeze', [c.losses, g.ints([1])], [c.losses.shape[0]!]));
  const dHidden = isUsed(1)
    ? spread(
        chunks.map((c) => c.dHidden!),
        hidden.shape,
      )
    : null;
  return [spread(flat, labels.shape), dHidden];
};
