import type { GradientTransform, StepContext } from '@peftjs/core';
import { add, constant, mul, neg, type Tensor, type Variable } from '@peftjs/tensor';
import { expect, test } from 'vitest';
import { describeTransform, transformLaws } from '../src/index.ts';

const scalar = (value: number): Tensor => constant(Float32Array.of(value), []);

/** Faults that a momentum of its own may have. */
interface Mistakes {
  readonly sharesState?: true;
  readonly forgetsScale?: true;
  readonly countsParams?: true;
  readonly countsSteps?: true;
  readonly unguarded?: true;
  readonly decaysUnsaid?: true;
  readonly uphill?: true;
  readonly silent?: true;
}

/** w ← w − lr·m, m ← 0.9·m + g. */
const momentum = (wrong: Mistakes = {}): GradientTransform => {
  const shared = new Map<string, Variable>();
  let [calls, seen] = [0, 0];
  const stateOf = (step: StepContext, p: Variable): Variable => {
    if (!wrong.sharesState) return step.state(p, 'm');
    const name = p.node.name;
    const known = shared.get(name) ?? step.state(p, 'm');
    shared.set(name, known);
    return known;
  };
  return {
    name: 'momentum',
    ...(!wrong.silent && { steps: true }),
    update: ({ values, scale = scalar(1) }, step) => {
      // A state of another run is none of this run's; the program would read it all the same.
      const made = [...values].map(([p, g], i) => {
        const m = stateOf(step, p);
        const own = wrong.forgetsScale ? g : mul(g, scale);
        const now = add(mul(m, 0.9), own);
        const late = wrong.countsSteps ? step.feed(`n${seen++}`, [], () => Float32Array.of(1 + calls++)) : scalar(1);
        const factor = wrong.countsParams ? i + 1 : 1;
        const rate = mul(mul(step.rate, late), wrong.uphill ? -factor : factor);
        const change = neg(mul(rate, wrong.decaysUnsaid ? add(now, mul(p, 0.1)) : now));
        return { p, m, now, change };
      });
      return {
        values: new Map(made.map(({ p, change }) => [p, change])),
        state: made.map(({ m, now }) => [m, now] as const),
        ...(wrong.unguarded && { next: new Map(made.map(({ p, change }) => [p, add(p, change)])) }),
      };
    },
  };
};

describeTransform('momentum', { make: () => momentum() });

const mutants: [mistake: string, wrong: Mistakes, law: string, says: RegExp][] = [
  ['state of all runs in one', { sharesState: true }, 'state belongs to a run', /a run beside another one/],
  ['a scale forgotten', { forgetsScale: true }, 'takes gradients that were gathered as sums', /scale of a quarter/],
  ['places instead of names', { countsParams: true }, 'the order of parameters does not matter', /the other way round/],
  ['a count of its own', { countsSteps: true }, 'goes on from its state, to the bit', /two more in another run/],
  ['new values without a guard', { unguarded: true }, 'a step that is not finite changes nothing', /not finite/],
  ['decay unsaid', { decaysUnsaid: true }, 'a gradient of zero leaves what it should', /steps of no gradient/],
  ['the wrong sign', { uphill: true }, 'an optimiser goes downhill, and says that it steps', /the loss went from/],
  ['a step unsaid', { silent: true }, 'an optimiser goes downhill, and says that it steps', /does not say/],
];

test.each(mutants)('the laws catch %s', async (_, wrong, law, says) => {
  const found = transformLaws({ make: () => momentum(wrong) }).find(({ name }) => name === law);
  await expect(found?.check()).rejects.toThrow(says);
});

test('a row that says that it moves at zero is held to it', async () => {
  const found = transformLaws({ make: () => momentum(), movesAtZero: true }).find(({ name }) => /zero/.test(name));
  await expect(found?.check()).rejects.toThrow(/movesAtZero, but/);
});
