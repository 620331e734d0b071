import { glorotUniform, kaimingUniform, normal, type Scope, uniform, type Wraps, zeros } from '@peftjs/core';
import {
  add,
  broadcastTo,
  concatAll,
  matmul,
  mul,
  reshape,
  sigmoid,
  slice,
  type Tensor,
  type Variable,
} from '@peftjs/tensor';
import { type Around, affine, type Linear, type Path, type Slot, slot } from '@peftjs/transformer';
import type { NoahBlock } from './noah-tower.ts';

/** How a module of a block is made. */
export interface ModuleOptions {
  /** Width d of the tower. */
  readonly hiddenSize: number;
  /** Rows of a prompt, rank, or width of the middle. */
  readonly size: number;
  readonly dropout: number;
  /** f32 [size], 1 for what is used; null: all of it. */
  readonly used: Tensor | null;
}

/** Rows behind the prompt; methods that come later put theirs before it. */
export const behind: Slot<number> = slot('noah.behind');

/** The rows of a prompt, [m, d]: from U(−v, v), v = √(6 / (d·(m + 1))). */
export const promptRows = (scope: Scope, { hiddenSize: d, size: m }: Omit<ModuleOptions, 'used'>): Variable =>
  scope.param('visual_prompt_token', [m, d], uniform(Math.sqrt(6 / (d * (m + 1)))));

/** A prompt for each picture of a batch: [batch, m, d]. */
export const promptFor = ({ dropout }: Scope, rows: Tensor, rate: number, batch: number): Tensor =>
  dropout(broadcastTo(rows, [batch, ...rows.shape]), rate);

/** Rows of a stream x [batch, rows, d] from one to another. */
export const rowsOf = (x: Tensor, start: number, end: number): Tensor => slice(x, { axis: 1, start, end });

/** A stream whose `count` rows before the last `rest` others take the place of. */
export const withRows = (x: Tensor, others: Tensor | null, count: number, rest: number): Tensor => {
  const rows = x.shape[1]!;
  const end = rows - rest;
  const parts = [end > count ? rowsOf(x, 0, end - count) : null, others, rowsOf(x, end, rows)].filter(
    (part) => part !== null,
  );
  return parts.length > 1 ? concatAll(parts, 1) : parts[0]!;
};

/** LoRA of queries, keys and values, B·A·dropout(x), with one A [r, d] and the rows of B [3d, r] one after the other. */
export const attentionUpdates = (
  scope: Scope,
  { projections }: NoahBlock,
  { hiddenSize, size, dropout, used }: ModuleOptions,
): Wraps<Linear> => {
  const outputs = projections.reduce((n, part) => n + part.size, 0);
  const a = scope.param('LoRA_a.weight', [size, hiddenSize], kaimingUniform);
  const b = scope.param('LoRA_b.weight', [outputs, size], zeros);
  let next = 0;
  const rows = projections.map((part) => {
    const start = next;
    next += part.size;
    return { ...part, rows: slice(b, { axis: 0, start, end: next }) };
  });
  const wrap = (path: Path): ((base: Linear) => Linear) => {
    const own = rows.filter((part) => part.path === path).sort((one, other) => one.start - other.start);
    const up =
      own.length > 1
        ? concatAll(
            own.map((part) => part.rows),
            0,
          )
        : own[0]!.rows;
    const down = used ? mul(a, reshape(used, [size, 1])) : a;
    return (base) => ({
      ...base,
      apply: (x, call) => {
        const low = matmul(scope.dropout(x, dropout), down, { transposeB: true });
        return add(base.apply(x, call), matmul(low, up, { transposeB: true }));
      },
      dense: () => {
        const { weight, bias } = base.dense();
        return { weight: add(weight, matmul(up, down)), bias };
      },
    });
  };
  return new Map([...new Set(projections.map(({ path }) => path))].map((path) => [path, wrap(path)]));
};

/** An adapter after the MLP: y + W₂·dropout(h(W₁·y + b₁)) + b₂, h(v) = v·σ(1.702·v). */
export const adapterAfter = (scope: Scope, { hiddenSize: d, size: w, dropout, used }: ModuleOptions): Around<'mlp'> => {
  const down = {
    weight: scope.param('adapter.ln1.weight', [w, d], glorotUniform()),
    bias: scope.param('adapter.ln1.bias', [w], normal(1e-6)),
  };
  const up = {
    weight: scope.param('adapter.ln2.weight', [d, w], glorotUniform()),
    bias: scope.param('adapter.ln2.bias', [d], normal(1e-6)),
  };
  return (x, next) => {
    const y = next(x);
    const low = affine(y, down);
    const inner = mul(low, sigmoid(mul(low, 1.702)));
    const dropped = scope.dropout(used ? mul(inner, used) : inner, dropout);
    const term = affine(dropped, up);
    return add(y, used ? mul(term, slice(used, { axis: 0, start: 0, end: 1 })) : term); // of no width there is no bias either
  };
};
