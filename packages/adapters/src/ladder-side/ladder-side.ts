import {
  count,
  defineMethod,
  filled,
  kaimingUniform,
  type MethodFactory,
  oneOf,
  positive,
  requireOneTower,
  requireOneWidth,
  zeros,
} from '@peftjs/core';
import { add, constant, mul, PeftError, sigmoid, stopGradient, sub, type Tensor } from '@peftjs/tensor';
import { type Around, type Call, type Pass, type Path, slot } from '@peftjs/transformer';
import { linear } from '../bottleneck.ts';
import { narrowModel } from './narrow-model.ts';
import { type FirstValues, prunedStart, type SidePruning } from './pruned-start.ts';
import { addToTokens, ofTokens, runSide } from './run-side.ts';

/** Options of `ladderSide`. */
export interface LadderSideOptions {
  /** The side network has the base's sizes divided by it. Default 8. */
  readonly reduction?: number;
  /** It has a layer beside every so-manieth of the base's, the last one always. Default 1: beside each. */
  readonly every?: number;
  /** T of the gates σ(α / T). Default 0.1. */
  readonly temperature?: number;
  /**
   * How its layers begin: `random`; or pruned from the base's by `prepare`, channels kept by the L1 norm of `weights` or of their `fisher` information, for which it is given examples. Default random.
   */
  readonly start?: 'random' | SidePruning;
  /** The values that `prepare` finds, by the names of the side network's tensors. */
  readonly first?: FirstValues;
}

/** The blocks that the side network has a layer beside. */
const besideOf = (blocks: readonly Path[], every: number): readonly Path[] =>
  blocks.filter((_, i) => (blocks.length - 1 - i) % every === 0);

/** Projected states of the base, by the layer that they came out of. */
const rungs = slot<ReadonlyMap<string, Tensor>>('rungs');

/**
 * Ladder side-tuning: a narrow transformer of the base's architecture beside it. h ← P₀ e of the embeddings e; then for each of its layers
 * h ← layer(μ h + (1 − μ) P_l x_l) with x_l the base's stream after layer l and μ = σ(α_l / T), α_l = 0 at the start; at the end the LM head
 * reads the base's final states + W_up norm(h). No gradient goes through the base, so none of its inner values are kept: only the x_l.
 * P_l [d / r, d] from U(−1/√d, 1/√d), layers from N(0, 0.02²). Default r = 8, T = 0.1. Does not merge. Sung, Cho & Bansal, 2022.
 * https://arxiv.org/abs/2206.06522
 *
 * Their code lets the head read W_up norm(h) alone, from random values; here W_up begins at zero and is added to the base's states, so that
 * training begins at the base. `start: 'fisher'` is their way to begin layers (`fisher-v2`, `pruning_without_residual`; the embeddings, which have no side here, by their weights).
 */
export const ladderSide: MethodFactory<LadderSideOptions> = defineMethod<LadderSideOptions>({
  name: 'ladderSide',
  formula: {
    merges: false,
    options: {
      reduction: positive('reduction', 8),
      every: count('every', 1),
      temperature: positive('temperature', 0.1),
      start: oneOf<'random' | SidePruning>(null, ['random', 'weights', 'fisher'], 'random'),
      first: {
        key: null,
        fallback: () => ({}),
        expected: 'values by name, as prepare makes them',
        accepts: (v) => typeof v === 'object' && v !== null,
      },
    },
    needsData: false,
    prepare: async (model, options, look) => {
      const { reduction, every, start, first } = options;
      requireOneTower(model, 'ladderSide');
      requireOneWidth(model, 'ladderSide');
      if (start === 'random' || Object.keys(first).length > 0) return {};
      const beside = besideOf(model.paths('block'), every);
      return { first: await prunedStart(model, model.narrow(reduction, beside.length), beside, start, look) };
    },
    attach: (model, scope, { reduction, every, temperature, start, first: values }) => {
      requireOneTower(model, 'ladderSide');
      requireOneWidth(model, 'ladderSide');
      const [blocks, head] = [model.paths('block'), model.paths('head')[0]];
      if (!head) throw new PeftError('no-match', 'ladderSide: it needs the whole model, up to its head');
      if (start !== 'random' && Object.keys(values).length === 0)
        throw new PeftError('bad-option', `ladderSide: start '${start}' is found by prepare; call it first`);
      const beside = besideOf(blocks, every);
      const own = scope.at('ladder_side');
      const side = narrowModel(model, own, reduction, beside.length, values);
      const [wide, narrow] = [model.main.hiddenSize, side.main.hiddenSize];
      const down = (name: string): ((x: Tensor) => Tensor) => linear(own, name, narrow, wide, kaimingUniform);
      const first = down('first_down');
      const steps = beside.map((path, i) => ({
        path,
        down: down(`downs.${i}`),
        gate: sigmoid(mul(own.param(`gates.${i}`, [1], filled(0)), 1 / temperature)),
      }));
      const up = linear(own, 'up', wide, narrow, zeros);
      const keep = (call: Call, name: string, states: Tensor, project: (x: Tensor) => Tensor): void => {
        const rung = project(stopGradient(ofTokens(states, call)));
        call.pass.put(rungs, new Map([...(call.pass.get(rungs) ?? []), [name, rung]]));
      };
      const watch =
        (path: string, isFirst: boolean): Around<'block'> =>
        (x, next, call) => {
          if (isFirst) keep(call, 'first', x, first);
          const y = next(x);
          const step = steps.find((s) => s.path === path);
          if (step) keep(call, path, y, step.down);
          return y;
        };
      const climb = (pass: Pass): Tensor => {
        const states = pass.get(rungs)!;
        const enter = ({ path, gate }: (typeof steps)[number]): Around<'block'> => {
          const rung = states.get(path)!;
          return (h, next) => next(add(mul(h, gate), mul(rung, sub(constant(Float32Array.of(1), [1]), gate))));
        };
        const enters = new Map(steps.map((step, i) => [side.paths('block')[i]!, [enter(step)]]));
        return up(runSide(side, pass, 'ladder_side', states.get('first')!, enters));
      };
      return {
        around: {
          block: new Map(blocks.map((path, i) => [path, watch(path, i === 0)])),
          head: new Map([[head, (x, next, { pass }) => addToTokens(next(x), climb(pass))]]),
        },
      };
    },
  },
  files: {
    peftType: 'LADDER_SIDE',
  },
  card: {
    about: 'a narrow network beside the backbone',
    paper: {
      authors: 'Sung, Cho & Bansal',
      year: 2022,
      title: 'LST: Ladder Side-Tuning for Parameter and Memory Efficient Transfer Learning',
      url: 'https://arxiv.org/abs/2206.06522',
    },
    learningRate: 3e-3,
    narrowRate: 1e-2,
  },
});
