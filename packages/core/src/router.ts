import {
  add,
  greaterEqual,
  matmul,
  mean,
  mul,
  PeftError,
  reshape,
  slice,
  softmax,
  sum,
  type Tensor,
  topK,
  type Variable,
} from '@peftjs/tensor';
import { addTerm, type Call, type Slot, slot } from '@peftjs/transformer';
import { normal } from './init.ts';
import type { Patch, Scope } from './method.ts';
import { number, type Option, wholeNumber } from './option.ts';

/** How a router chooses among experts. */
export interface RouterOptions {
  /** Experts that count for a token, those with the largest weights; 0 for all. */
  readonly topK?: number;
  /** Weight of the penalty on tokens that go to few experts alone; it needs `topK`. */
  readonly balance?: number;
}

/** The options of a router, by their names in a file. */
export const routerOptions: { readonly topK: Option<number>; readonly balance: Option<number> } = {
  topK: wholeNumber('top_k', 0),
  balance: number('load_balance', 0),
};

/** The fault of a router's options; null when there is none. */
export const routerFault = ({ topK: k = 0, balance = 0 }: RouterOptions, experts: number): string | null => {
  if (k > experts) return `topK ${k} must not be above the ${experts} experts`;
  if (balance < 0) return `balance ${balance} must not be below 0`;
  return balance > 0 && (k === 0 || k === experts)
    ? 'balance is for experts of which some are chosen; give a topK below their number'
    : null;
};

/** The unevenness of their choices that routers leave in a pass, by their matrix. */
const unevenness: Slot<Map<Variable, Tensor>> = slot('router.unevenness');

/** n·Σₑ fₑ·Pₑ of n experts, f the share of tokens that chose each, P the mean of its weights: 1 per chosen expert where all are chosen alike. */
const unevennessOf = (weights: Tensor, chosen: Tensor): Tensor => {
  const experts = weights.shape.at(-1)!;
  const over = (t: Tensor): Tensor => mean(reshape(t, [-1, experts]), { axes: [0] });
  return mul(sum(mul(over(chosen), over(weights))), experts);
};

/** Gives the weights of experts for each token, [..., experts], of x [..., in]. */
export type Router = (x: Tensor, call: Call) => Tensor;

/** Several routers of one adapter. */
export interface Routers {
  /** p = softmax(R·x), R [experts, inDim] from N(0, 0.02²); with `topK` the weights of other experts are 0, and those left stay as they are. */
  router(own: Scope, name: string, inDim: number): Router;
  /** The penalty `balance`·mean of n·Σₑ fₑ·Pₑ over routers, where it is asked for. Fedus, Zoph & Shazeer, 2021. https://arxiv.org/abs/2101.03961 */
  readonly patch: Patch;
}

/** The routers of an adapter's layers, each among so many experts. */
export const makeRouters = (experts: number, { topK: k = 0, balance = 0 }: RouterOptions): Routers => {
  const own = new Set<Variable>();
  return {
    router: (scope, name, inDim) => {
      const matrix = scope.param(name, [experts, inDim], normal(0.02));
      own.add(matrix);
      return (x, { pass }) => {
        const weights = softmax(matmul(x, matrix, { transposeB: true }));
        if (k === 0 || k === experts) return weights;
        const [largest] = topK(weights, { k });
        const chosen = greaterEqual(weights, slice(largest, { axis: -1, start: k - 1, end: k }));
        if (balance > 0 && pass.training) {
          const left = pass.get(unevenness) ?? new Map<Variable, Tensor>();
          pass.put(unevenness, left.set(matrix, unevennessOf(weights, chosen)));
        }
        return mul(weights, chosen);
      };
    },
    patch:
      balance === 0
        ? {}
        : {
            objective: (inner) => (views, inputs) => {
              const loss = inner(views, inputs);
              const left = views.passes.flatMap((pass) =>
                [...(pass.get(unevenness) ?? [])].flatMap(([matrix, term]) => (own.has(matrix) ? [term] : [])),
              );
              if (left.length === 0)
                throw new PeftError(
                  'bad-program',
                  'router: no training pass went through a router; balance has nothing to go by',
                );
              return addTerm(
                loss,
                mul(
                  left.reduce((a, b) => add(a, b)),
                  balance / left.length,
                ),
              );
            },
          },
  };
};
