import { grad } from '@peftjs/autograd';
import {
  adamw,
  add,
  attention,
  gather,
  headCrossEntropy,
  input,
  matmul,
  mul,
  type ProgramSpec,
  reshape,
  rmsNorm,
  type Shape,
  silu,
  sizeOf,
  type Tensor,
  transpose,
  type Variable,
  variable,
} from '@peftjs/tensor';

/** Sizes of a decoder and of its batches. */
export interface StepSizes {
  readonly hidden: number;
  readonly layers: number;
  readonly heads: number;
  readonly inner: number;
  readonly vocabulary: number;
  readonly batch: number;
  readonly tokens: number;
  readonly rank: number;
}

let state = 1;
const random = (): number => {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return state / 2 ** 32 - 0.5;
};

const filled = (name: string, shape: Shape, value: () => number): Variable =>
  variable(name, shape, () => Float32Array.from({ length: sizeOf(shape) }, value));

/** One AdamW step of a Llama-shaped decoder: LoRA on the query and value projections, or with `full` all weights. */
export const transformerStep = (
  { hidden: d, layers, heads, inner, vocabulary, batch, tokens, rank }: StepSizes,
  full: boolean,
): ProgramSpec => {
  const trained: Variable[] = [];
  const keep = (v: Variable, isTrained: boolean): Variable => {
    if (isTrained) trained.push(v);
    return v;
  };
  const weight = (name: string, out: number, width: number, spread = Math.sqrt(12 / width)): Variable =>
    keep(
      filled(name, [out, width], () => random() * spread),
      full,
    );
  const norm = (name: string, x: Tensor): Tensor =>
    rmsNorm(
      x,
      keep(
        filled(name, [d], () => 1),
        full,
      ),
      { eps: 1e-5 },
    );
  const linear = (name: string, out: number, x: Tensor, adapted = false): Tensor => {
    const width = x.shape[1]!;
    const y = matmul(x, weight(name, out, width), { transposeB: true });
    if (!adapted || full) return y;
    const down = keep(
      filled(`${name}.lora_A`, [rank, width], () => random() * 0.1),
      true,
    );
    const up = keep(
      filled(`${name}.lora_B`, [out, rank], () => 0),
      true,
    );
    return add(y, mul(matmul(matmul(x, down, { transposeB: true }), up, { transposeB: true }), 2));
  };
  const split = (x: Tensor): Tensor => transpose(reshape(x, [batch, tokens, heads, d / heads]), [0, 2, 1, 3]);

  const rows = batch * tokens;
  let x = reshape(gather(weight('embedding', vocabulary, d, 0.1), input('ids', [batch, tokens], 'i32')), [rows, d]);
  for (let i = 0; i < layers; i++) {
    const h = norm(`norm.${i}`, x);
    const [q, k, v] = [linear(`q.${i}`, d, h, true), linear(`k.${i}`, d, h), linear(`v.${i}`, d, h, true)].map(
      split,
    ) as [Tensor, Tensor, Tensor];
    const joined = reshape(transpose(attention(q, k, v, { causal: true }), [0, 2, 1, 3]), [rows, d]);
    x = add(x, linear(`o.${i}`, d, joined));
    const y = norm(`norm2.${i}`, x);
    x = add(x, linear(`down.${i}`, d, mul(silu(linear(`gate.${i}`, inner, y)), linear(`up.${i}`, inner, y))));
  }
  const loss = headCrossEntropy(norm('norm', x), weight('head', vocabulary, d), input('labels', [rows], 'i32'));
  const hyper = input('hyper', [8]);
  const zeros = (v: Variable, name: string): Variable => filled(`${v.node.name}.${name}`, v.shape, () => 0);
  const updates = grad(loss, trained).flatMap((g, i) => {
    const w = trained[i]!;
    const [m, v] = [zeros(w, 'm'), zeros(w, 'v')];
    const [w1, m1, v1] = adamw(w, g, m, v, hyper);
    return [
      [w, w1!],
      [m, m1!],
      [v, v1!],
    ] as const;
  });
  return { outputs: { loss }, updates };
};

/** Feeds of step `step`, counted from 1: the same tokens every time, as the sketch does. */
export const stepFeeds = ({
  batch,
  tokens,
  vocabulary,
}: StepSizes): ((step: number) => Record<string, Float32Array | Int32Array>) => {
  const draw = (): Int32Array =>
    Int32Array.from({ length: batch * tokens }, () => Math.floor((random() + 0.5) * vocabulary));
  const [ids, labels] = [draw(), draw()];
  return (step) => ({
    ids,
    labels,
    hyper: Float32Array.of(0.01, 0.9, 0.999, 1e-8, 0, 1 - 0.9 ** step, 1 - 0.999 ** step, 1),
  });
};
