import {
  count,
  defineMethod,
  eachLinear,
  eachSite,
  type Init,
  kaimingUniform,
  type MethodFactory,
  normal,
  ones,
  type Projection,
  rate,
  type Scope,
  type Target,
  targets,
  zeros,
} from '@peftjs/core';
import {
  add,
  broadcastTo,
  concat,
  div,
  dropout,
  matmul,
  mean,
  mul,
  sqrt,
  stopGradient,
  sub,
  sum,
  type Tensor,
  transpose,
  type Variable,
} from '@peftjs/tensor';
import { type Model, slot } from '@peftjs/transformer';

const paper = { authors: 'Nobody', year: 2026, title: 'None', url: 'https://example.org' };
const card = { about: 'nothing of use', paper, learningRate: 1e-3 } as const;

/** What may go wrong in a low-rank update; the defaults are right. */
export interface LowRankMistakes {
  readonly denseScale?: number;
  readonly transposed?: boolean;
  readonly droppedBias?: boolean;
  readonly initB?: Init;
  readonly extraParam?: boolean;
  readonly dropsAlways?: boolean;
  readonly unsaved?: boolean;
  readonly key?: string | null;
  /** Gives the layer beneath another call than it got. */
  readonly ownCall?: boolean;
  /** Mixes the rows of its input. */
  readonly mixesRows?: boolean;
  /** Does not begin with what the layer beneath says of itself. */
  readonly forgetsRows?: boolean;
  /** Draws the same in every view for training; or in every view. */
  readonly drawsAlike?: 'training' | 'always';
  /** Shrinks A by the rate after each step; or by as much at any rate; or A as it was before the step. */
  readonly shrinks?: 'by the rate' | 'always' | 'what was';
}

interface LowRankOptions {
  readonly rank?: number;
  readonly target?: Target;
  readonly dropout?: number;
}

const dropOf = ({ dropsAlways, drawsAlike }: LowRankMistakes, own: Scope, x: Tensor, p: number): Tensor => {
  if (dropsAlways) return mul(x, p > 0 ? 0.5 : 1);
  if (drawsAlike === undefined) return own.dropout(x, p);
  return own.draw || drawsAlike === 'always' ? dropout(x, p, 7, 0) : x;
};

/** Makes some parameters smaller after each step. */
const shrinking =
  (params: ReadonlySet<Variable>, how: NonNullable<LowRankMistakes['shrinks']>): Projection =>
  (updated, step) =>
    [...params].map((p) => [
      p,
      mul(how === 'what was' ? p : updated(p), sub(1, how === 'always' ? 0.1 : mul(step.rate, 0.1))),
    ]);

/** W + 2·B·A·diag(s), s random and frozen. */
export const lowRank = (mistakes: LowRankMistakes = {}): MethodFactory<LowRankOptions> =>
  defineMethod<LowRankOptions>({
    name: 'lowRank',
    formula: {
      merges: true,
      options: {
        rank: count(mistakes.key === undefined ? 'r' : mistakes.key, 3),
        target: targets('target_modules', ({ layout }: Model) => {
          const names = layout.defaultTarget('lora')!;
          return names.length > 1 ? names : [...names, 'attn.c_proj'];
        }),
        dropout: rate('dropout', 0),
      },
      attach: (model, scope, { rank, target, dropout }) => {
        const downs = new Set<Variable>();
        const patch = eachLinear(model, scope, target, 'lowRank', (base, own) => {
          const a = own.param('a', [rank, base.inDim], kaimingUniform);
          downs.add(a);
          const b = own.param('b', [base.outDim, rank], mistakes.initB ?? zeros);
          const s = (mistakes.unsaved ? own.running : own.buffer)('s', [base.inDim], normal(1));
          if (mistakes.extraParam) own.param('unused', [1], ones);
          const { acrossRows: _, ...silent } = base;
          return {
            ...(mistakes.forgetsRows ? silent : base),
            apply: (x, call) => {
              const dropped = dropOf(mistakes, own, x, dropout);
              const low = matmul(mul(dropped, s), a, { transposeB: true });
              const seen = mistakes.mixesRows ? add(low, mean(low, { axes: [-2], keepDims: true })) : low;
              const below = base.apply(x, mistakes.ownCall ? { ...call } : call);
              return add(below, mul(matmul(seen, b, { transposeB: true }), 2));
            },
            dense: () => {
              const { weight, bias } = base.dense();
              const product = mul(mul(matmul(b, a), s), mistakes.denseScale ?? 2);
              const square = base.inDim === base.outDim;
              const delta = mistakes.transposed && square ? transpose(product, [1, 0]) : product;
              return { weight: add(weight, delta), bias: mistakes.droppedBias ? null : bias };
            },
          };
        });
        return mistakes.shrinks ? { ...patch, project: shrinking(downs, mistakes.shrinks) } : patch;
      },
    },
    files: {
      peftType: 'LOW_RANK',
    },
    card,
  });

/** Each row of W at a length of its own, the length it had being a constant in the gradient. */
export const rescaled = (detach: boolean): MethodFactory<Record<never, never>> =>
  defineMethod<Record<never, never>>({
    name: 'rescaled',
    formula: {
      merges: true,
      options: {},
      attach: (model, scope) =>
        eachLinear(model, scope, /.*\.(down_proj|c_fc)/, 'rescaled', (base, own) => {
          const shift = own.param('shift', [base.outDim, 1], zeros);
          const lengths = (): Tensor => {
            const moved = add(base.dense().weight, shift);
            const norm = sqrt(sum(mul(moved, moved), { axes: [1], keepDims: true }));
            return detach ? stopGradient(norm) : norm;
          };
          const weight = (): Tensor => div(add(base.dense().weight, shift), lengths());
          return {
            ...base,
            apply: (x) => {
              const { bias } = base.dense();
              const y = matmul(x, broadcastTo(transpose(weight(), [1, 0]), [base.inDim, base.outDim]));
              return bias ? add(y, bias) : y;
            },
            dense: () => ({ weight: weight(), bias: base.dense().bias }),
          };
        }),
    },
    files: {
      peftType: 'RESCALED',
    },
    card,
  });

/** A ladder: a small state beside the backbone, fed by each block and added at the head; by mistake to every block's output too. */
export const ladder = ({ writesBack = false }: { writesBack?: boolean } = {}): MethodFactory<Record<never, never>> =>
  defineMethod<Record<never, never>>({
    name: 'ladder',
    formula: {
      merges: false,
      options: {},
      attach: (model, scope) => {
        const width = 2;
        const d = model.main.hiddenSize;
        const sides = slot<Tensor>('sides');
        const up = scope.param('up', [d, width], zeros);
        const blocks = eachSite(model, scope, 'block', (own) => {
          const down = own.param('down', [width, d], kaimingUniform);
          const mix = own.param('mix', [width], ones);
          return (x, next, { pass }) => {
            const y = next(x);
            const seen = matmul(y, down, { transposeB: true });
            const before = pass.get(sides);
            const side = before ? add(seen, mul(before, mix)) : mul(seen, mix);
            pass.put(sides, side);
            return writesBack ? add(y, matmul(side, up, { transposeB: true })) : y;
          };
        });
        const head = eachSite(model, scope, 'head', () => (x, next, { pass }) => {
          const side = matmul(pass.get(sides)!, up, { transposeB: true });
          return next(add(x, side));
        });
        return { around: { ...blocks.around, ...head.around } };
      },
    },
    files: {
      peftType: 'LADDER',
    },
    card,
  });

/** What may go wrong with keys and values in front. */
export type PrefixMistake = 'ignored by the mask' | 'behind' | 'cached twice' | 'mean of the batch' | null;

/** Two trained keys and values in front of every layer's. */
export const prefix = (mistake: PrefixMistake = null): MethodFactory<Record<never, never>> =>
  defineMethod<Record<never, never>>({
    name: 'prefix',
    formula: {
      merges: false,
      options: {},
      attach: (model, scope) =>
        eachSite(model, scope, 'kv', (own) => {
          const { keyHeads: heads, headDim } = model.main;
          const [k, v] = [
            own.param('k', [1, heads, 2, headDim], normal(1)),
            own.param('v', [1, heads, 2, headDim], normal(1)),
          ];
          return (kv, next, { pass, sequence }) => {
            const front = (rows: Tensor, all: Tensor): Tensor => {
              const wide = broadcastTo(rows, [pass.batch, heads, 2, headDim]);
              return mistake === 'behind' ? concat(all, wide, { axis: 2 }) : concat(wide, all, { axis: 2 });
            };
            if (mistake === 'ignored by the mask' && sequence.mask) return next(kv);
            if (mistake === 'cached twice') return next({ k: front(k, kv.k), v: front(v, kv.v) });
            const all = next(kv);
            const values =
              mistake === 'mean of the batch' ? add(all.v, mean(all.v, { axes: [0], keepDims: true })) : all.v;
            return { k: front(k, all.k), v: front(v, values) };
          };
        }),
    },
    files: {
      peftType: 'PREFIX',
    },
    card,
  });

/** A residual step after each block that, by mistake, mixes in what comes later; or says that it merges. */
export const step = ({
  peeks = false,
  merges = false,
}: {
  peeks?: boolean;
  merges?: boolean;
} = {}): MethodFactory<Record<never, never>> =>
  defineMethod<Record<never, never>>({
    name: 'step',
    formula: {
      merges,
      options: {},
      attach: (model, scope) =>
        eachSite(model, scope, 'mlp', (own) => {
          const w = own.param('w', [model.main.hiddenSize], zeros);
          return (x, next) => {
            const y = next(x);
            const seen = peeks ? mean(x, { axes: [1], keepDims: true }) : x;
            return add(y, mul(seen, w));
          };
        }),
    },
    files: {
      peftType: 'STEP',
    },
    card,
  });
