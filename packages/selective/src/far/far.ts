import { count, defineMethod, type MethodFactory, positive, type Scope, zeros } from '@peftjs/core';
import { checkPlaces } from '@peftjs/core/collect';
import {
  add,
  constant,
  gather,
  matmul,
  PeftError,
  reshape,
  scatterAdd,
  type Tensor,
  transpose,
  type Variable,
} from '@peftjs/tensor';
import type { Linear, Part, Path } from '@peftjs/transformer';
import { share } from '../masked/define-masked.ts';
import { type Mask, masks } from '../masked/mask.ts';
import { learnersOf, mlpsOf } from './nodes.ts';

/** Options of `far`. */
export interface FarOptions {
  /** The share of all nodes that learn, in (0, 1]. Default 0.1. */
  readonly keep?: number;
  /** Steps of priming: of tuning all weights of the MLPs, by which `prepare` chooses. Default 100. */
  readonly steps?: number;
  /** AdamW's rate in the first of these steps; it falls to 0 evenly. Default 5e-5. */
  readonly learningRate?: number;
  /** The numbers of the learners by the path of their block, instead of those that `prepare` chooses. */
  readonly mask?: Mask;
}

/** The learners of an MLP. */
interface Learners {
  readonly own: Scope;
  /** i32 [r] */
  readonly index: Variable;
  readonly r: number;
}

/** x as [rows, width]. */
const flat = (x: Tensor): Tensor => reshape(x, [-1, x.shape.at(-1)!]);

const like = (x: Tensor, y: Tensor, width: number): Tensor => reshape(y, [...x.shape.slice(0, -1), width]);

/** A layer some of whose outputs are learners' rows: y = Wx + b, and Δ_rows x + δ at their places. What the learners give is [r, rows of x], laid among the others. */
const withRows = (base: Linear, { start, role }: Part, { own, index, r }: Learners): Linear => {
  const rows = own.param(`far_${role}`, [r, base.inDim], zeros);
  const shift = base.dense().bias && own.param(`far_${role}_bias`, [r], zeros);
  const places = start === 0 ? index : add(index, constant(Int32Array.of(start), []));
  return {
    ...base,
    apply: (x, call) => {
      const learnt = matmul(rows, flat(x), { transposeB: true });
      const all = shift ? add(learnt, reshape(shift, [r, 1])) : learnt;
      return add(
        base.apply(x, call),
        like(x, transpose(scatterAdd(all, places, { rows: base.outDim }), [1, 0]), base.outDim),
      );
    },
    dense: () => {
      const { weight, bias } = base.dense();
      return {
        weight: add(weight, scatterAdd(rows, places, { rows: base.outDim })),
        bias: bias && shift ? add(bias, scatterAdd(shift, places, { rows: base.outDim })) : bias,
      };
    },
  };
};

/** A layer that reads learners: y = Wh + b + Δ_columns h of these alone. Δ_columns is kept as rows, [r, outDim]. */
const withColumns = (base: Linear, { own, index, r }: Learners): Linear => {
  const columns = own.param('far_down', [r, base.outDim], zeros);
  return {
    ...base,
    apply: (h, call) => {
      const read = gather(transpose(flat(h), [1, 0]), index);
      return add(base.apply(h, call), like(h, matmul(read, columns, { transposeA: true }), base.outDim));
    },
    dense: () => {
      const { weight, bias } = base.dense();
      return { weight: add(weight, transpose(scatterAdd(columns, index, { rows: base.inDim }), [1, 0])), bias };
    },
  };
};

/**
 * FAR, freeze and reconfigure: of the nodes of all MLPs the share `keep` learns, the rest of the model is frozen. A node is a row of W₁ (of gate and up, where there are both), its bias, and its column of W₂. `prepare`
 * primes: it tunes all weights of the MLPs for some `steps`, and chooses the nodes with the largest L1 norm of their change. They are trained as two contiguous matrices of an MLP, [r, d] each, as changes from 0, and
 * of its inner values those of learners alone are kept for the gradients of weights. Saved are these rows and the nodes' numbers. Works over a base of any storage format. Merges. Throws `bad-option`, and when
 * prepared `diverged`, when attached `no-match`, `state-mismatch`.
 * Vucetic et al., 2022. https://arxiv.org/abs/2205.01541. Priming, the L1 norm, the share of learners and learners that lie together are the paper's, as its abstract and summaries tell; there is no code of the authors.
 * The paper parts W itself in rows of learners and others and puts their outputs in order again; here W stays as it is stored, and learners' changes are added in their places, which is the same function. Ours: that the
 * share is of all MLPs together, how long priming lasts, and that learners begin again at the base's weights.
 */
export const far: MethodFactory<FarOptions> = defineMethod<FarOptions>({
  name: 'far',
  formula: {
    merges: true,
    options: {
      keep: share('retention', 0.1),
      steps: count('priming_steps', 100),
      learningRate: positive('priming_learning_rate', 5e-5),
      mask: masks,
    },
    prepare: async (model, options, look) => {
      const { keep, mask, ...time } = options;
      return Object.keys(mask).length > 0 ? options : { ...options, mask: await learnersOf(model, keep, time, look) };
    },
    attach: (model, scope, { mask }) => {
      const mlps = mlpsOf(model);
      const blocks = Object.keys(mask);
      if (blocks.length === 0)
        throw new PeftError('bad-option', 'far: no nodes are chosen yet; call prepare with examples first');
      const odd = blocks.filter((block) => !mlps.has(block));
      if (odd.length > 0) throw new PeftError('no-match', `far: the model has no MLP in ${odd.join(', ')}`);
      const wraps = blocks.flatMap((block) => {
        const { rows, columns, nodes } = mlps.get(block)!;
        const learners = (): Learners => {
          const own = scope.at(block);
          const places = mask[block]!;
          const index = own.buffer(
            'far_index',
            [places.length],
            () => Int32Array.from(places, (at, i) => at ?? i),
            'i32',
          );
          checkPlaces('far', index, places, nodes);
          return { own, index, r: places.length };
        };
        const ups = [...new Set(rows.map(({ path }) => path))];
        return [
          ...ups.map((path): [Path, (base: Linear) => Linear] => [
            path,
            (base) =>
              rows.reduce((layer, part) => (part.path === path ? withRows(layer, part, learners()) : layer), base),
          ]),
          [columns, (base: Linear) => withColumns(base, learners())] as [Path, (base: Linear) => Linear],
        ];
      });
      return { linear: new Map(wraps) };
    },
  },
  files: { peftType: 'PEFTJS_FAR' },
  card: {
    about: 'the nodes of the MLPs that learn most',
    paper: {
      authors: 'Vucetic et al.',
      year: 2022,
      title: 'Efficient Fine-Tuning of BERT Models on the Edge',
      url: 'https://arxiv.org/abs/2205.01541',
    },
    learningRate: 5e-5,
    narrowRate: 1e-2,
  },
});
