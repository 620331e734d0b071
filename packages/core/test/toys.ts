import { add, broadcastTo, concat, mul, sum, type Tensor } from '@peftjs/tensor';
import {
  defineMethod,
  eachLinear,
  eachSite,
  type MethodFactory,
  normal,
  type Option,
  ones,
  penalty,
  targets,
} from '../src/index.ts';

const paper = { authors: 'Nobody', year: 2026, title: 'None', url: 'https://example.org' };

/** Scales outputs: as small as a method can be. */
export const scale: MethodFactory<{ target?: string }> = defineMethod<{ target?: string }>({
  name: 'scale',
  formula: {
    merges: true,
    options: { target: targets('target_modules', 'q_proj') as Option<string> },
    attach: (model, scope, { target }) =>
      eachLinear(model, scope, target, 'scale', (base, own) => {
        const s = own.param('s', [1], ones);
        return {
          ...base,
          apply: (x, call) => mul(base.apply(x, call), s),
          dense: () => ({ weight: mul(base.dense().weight, s), bias: null }),
        };
      }),
  },
  files: {
    peftType: 'SCALE',
  },
  card: {
    about: 'a scale of outputs',
    paper,
    learningRate: 1e-3,
  },
});

/** Adds noise to the residual stream: no change of weights. */
export const shift: MethodFactory<Record<never, never>> = defineMethod<Record<never, never>>({
  name: 'shift',
  formula: {
    merges: false,
    options: {},
    attach: (model, scope) => {
      const v = scope.buffer('v', [8], normal(1));
      const w = scope.param('w', [8], normal(1));
      return {
        ...eachSite(model, scope, 'block', () => (x, next) => add(next(x), mul(v, w))),
        objective: penalty(() => sum(mul(w, w))),
      };
    },
  },
  files: {
    peftType: 'SHIFT',
  },
  card: {
    about: 'noise in the stream',
    paper,
    learningRate: 1e-3,
  },
});

const inBatch = (rows: Tensor, batch: number): Tensor => broadcastTo(rows, [batch, ...rows.shape.slice(1)]);

/** Two rows in front of the tokens. */
export const prompt: MethodFactory<Record<never, never>> = defineMethod({
  name: 'prompt',
  formula: {
    merges: false,
    options: {},
    attach: (model, scope) => {
      const rows = scope.param('rows', [1, 2, 8], normal(1));
      return eachSite(
        model,
        scope,
        'embed',
        () =>
          (ids, next, { pass }) =>
            concat(inBatch(rows, pass.batch), next(ids), { axis: 1 }),
      );
    },
  },
  files: {
    peftType: 'PROMPT',
  },
  card: {
    about: 'rows in front',
    paper,
    learningRate: 1e-3,
  },
});

/** Three keys and values in front, which move the positions. */
export const prefix: MethodFactory<Record<never, never>> = defineMethod({
  name: 'prefix',
  formula: {
    merges: false,
    options: {},
    attach: (model, scope) => {
      const { keyHeads, headDim } = model.main;
      const shape = [1, keyHeads, 3, headDim];
      return {
        positionShift: 3,
        ...eachSite(model, scope, 'kv', (own) => {
          const [keys, values] = [own.param('k', shape, normal(1)), own.param('v', shape, normal(1))];
          return (kv, next, { pass }) => {
            const { k, v } = next(kv);
            return {
              k: concat(inBatch(keys, pass.batch), k, { axis: 2 }),
              v: concat(inBatch(values, pass.batch), v, { axis: 2 }),
            };
          };
        }),
      };
    },
  },
  files: {
    peftType: 'PREFIX',
  },
  card: {
    about: 'keys and values in front',
    paper,
    learningRate: 1e-3,
  },
});
