import { constant, evaluate, reference } from '@peftjs/tensor';
import { expect, test } from 'vitest';
import { digamma, dirichletDivergence, gaussianDivergence, logGamma } from '../src/monteclora/divergences.ts';

const of = (values: readonly number[]) => constant(Float32Array.from(values), [values.length]);

test('log Γ, its derivative and the divergences are those that torch computes', async () => {
  const x = of([0.01, 0.3, 1, 7.5, 40]);
  const alpha = of([0.2, 0.9, 1.7, 0.4, 3.1]);
  const outputs = {
    l: logGamma(x),
    d: digamma(x),
    k: dirichletDivergence(alpha, 0.3),
    g: gaussianDivergence(of([0.5, 1.2, 2])),
  };
  const { l, d, k, g } = await evaluate(outputs, { executor: reference() });
  const near = (got: ArrayLike<number>, wanted: readonly number[]): void =>
    Array.from(got).forEach((v, i) => {
      expect(Math.abs(v - wanted[i]!)).toBeLessThan(3e-6 * Math.max(1, Math.abs(wanted[i]!)));
    });
  near(l!, [4.599479675292969, 1.0957978963851929, 0, 7.534364223480225, 106.63175964355469]);
  near(d!, [-100.5608901977539, -3.502523899078369, -0.5772159099578857, 1.946757435798645, 3.6763274669647217]);
  near(k!, [2.1888474221509373]);
  near(g!, [0.25883924961090088]); // MultivariateNormal's, a fifth of PEFT's multivariate_kl of five samples
});
