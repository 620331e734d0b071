import { add, mul, sum } from '@peftjs/tensor';
import {
  defineMethod,
  eachLinear,
  eachSite,
  type MethodFactory,
  normal,
  type Option,
  ones,
  targets,
} from '../src/index.ts';

const paper = { authors: 'Nobody', year: 2026, title: 'None', url: 'https://example.org' };

/** Scales outputs: as small as a method can be. */
export const scale: MethodFactory<{ target?: string }> = defineMethod<{ target?: string }>({
  name: 'scale',
  peftType: 'SCALE',
  paper,
  merges: true,
  learningRate: 1e-3,
  options: { target: targets('target_modules', 'q_proj') as Option<string> },
  attach: (model, scope, { target }) =>
    eachLinear(model, scope, target, 'scale', (base, own) => {
      const s = own.param('s', [1], ones);
      return {
        ...base,
        apply: (x) => mul(base.apply(x), s),
        dense: () => ({ weight: mul(base.dense().weight, s), bias: null }),
      };
    }),
});

/** Adds noise to the residual stream: no change of weights. */
export const shift: MethodFactory<Record<never, never>> = defineMethod<Record<never, never>>({
  name: 'shift',
  peftType: 'SHIFT',
  paper,
  merges: false,
  learningRate: 1e-3,
  options: {},
  attach: (model, scope) => {
    const v = scope.buffer('v', [8], normal(1));
    const w = scope.param('w', [8], normal(1));
    return {
      ...eachSite(model, scope, 'block', () => (x, next) => add(next(x), mul(v, w))),
      penalty: () => sum(mul(w, w)),
    };
  },
});
