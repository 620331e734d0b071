import { join } from 'node:path';
import { type GradientTransform, makeFinding, type ParamHint } from '@peftjs/core';
import { openSafetensors } from '@peftjs/io';
import { galore } from '@peftjs/lora';
import {
  compile,
  constant,
  type Executor,
  evaluate,
  input,
  type Shape,
  sizeOf,
  type Variable,
  variable,
} from '@peftjs/tensor';
import {
  adafactor,
  adamw,
  adamw8bit,
  chain,
  clip,
  lion,
  muon,
  optimizerStep,
  prodigy,
  scheduleFree,
  sgd,
  steppedParams,
} from '@peftjs/trainer';
import { webgpu } from '@peftjs/webgpu';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { executors } from './executors.ts';

const shapes: Readonly<Record<string, Shape>> = {
  matrix: [6, 5],
  tall: [7, 3],
  vector: [5],
  cube: [2, 3, 4],
  large: [72, 64],
};
const small = ['matrix', 'tall', 'vector'];

const valuesOf = (name: string, at: (i: number) => number): Float32Array =>
  Float32Array.from({ length: sizeOf(shapes[name]!) }, (_, i) => at(i));
const initial = (name: string): Float32Array => valuesOf(name, (i) => ((i * 613 + name.length * 17) % 769) / 769 - 0.5);
const gradient = (name: string, step: number): Float32Array =>
  valuesOf(name, (i) => (((i * 7919 + step * 104729 + name.length * 31) % 1009) / 1009 - 0.5) * [0.1, 1, 3][i % 3]!);
const rate = (step: number): number => 0.02 * (1 - step / 20);

/** Ten steps on an executor, checked after the first and the last. */
const follow = async (
  golden: string,
  executor: Executor,
  optimizer: GradientTransform,
  names: readonly string[] = small,
  hints: Readonly<Record<string, ParamHint>> = {},
  { tolerance = 1e-5, factor = 1, rests = false }: Pick<Case, 'tolerance' | 'factor' | 'rests'> = {},
): Promise<void> => {
  const wanted = await openSafetensors(join(import.meta.dirname, `../data/optimizers/${golden}.safetensors`));
  const params = new Map<string, Variable>(names.map((name) => [name, variable(name, shapes[name]!, initial(name))]));
  const target = { params, hints: new Map(Object.entries(hints).map(([name, hint]) => [params.get(name)!, hint])) };
  const gradients = new Map(steppedParams(target).map((p) => [p, input(`g ${p.node.name}`, p.shape)]));
  const one = constant(Float32Array.of(1), []);
  const { updates, feeds, state, found, finite, resting } = optimizerStep(
    optimizer,
    { values: gradients },
    one,
    target,
  );
  const step = await compile({ updates }, { executor });
  const finding = makeFinding(executor);
  for (let i = 0; i < 10; i++) {
    const given = Object.fromEntries(names.map((name) => [`g ${name}`, gradient(name, i)]));
    if (finding.isDue(i, found))
      await finding.find(i, found, finite, async (outputs) => {
        const once = await compile({ outputs }, { executor });
        const values = await once.run(given);
        once.close();
        return values;
      });
    await step.run({ ...given, ...feeds(i, factor * rate(i)) });
    if (rests && i === 9) {
      const averages = Object.fromEntries([...resting!].map(([v, average]) => [v.node.name, average]));
      const values = await evaluate(averages, { executor });
      for (const [name, v] of params) await executor.write(v, values[name]!);
    }
    if (i > 0 && i < 9) continue;
    for (const [name, v] of params) {
      const want = await wanted.readFloat32(`${i + 1} ${name}`);
      const got = await executor.read(v);
      const apart = want.map((w, at) => Math.abs(got[at]! - w) / Math.max(1, Math.abs(w)));
      expect(Math.max(...apart), `${golden}: ${name} after step ${i + 1}`).toBeLessThan(tolerance);
    }
  }
  step.close();
  executor.release([...params.values(), ...[...state.values()].flat()]);
};

interface Case {
  readonly optimizer: () => GradientTransform;
  readonly names?: readonly string[];
  readonly hints?: Readonly<Record<string, ParamHint>>;
  readonly tolerance?: number;
  /** Of the rate. */
  readonly factor?: number;
  /** Whether the last values are those to measure by and to end with. */
  readonly rests?: boolean;
}

const cases: Readonly<Record<string, Case>> = {
  adamw: { optimizer: () => adamw({ weightDecay: 0.1 }) },
  'adamw-clip': { optimizer: () => chain(clip(1), adamw({ beta1: 0.8, beta2: 0.95, eps: 1e-6 })) },
  'adamw-hints': {
    optimizer: () => adamw({ weightDecay: 0.1 }),
    hints: { matrix: { rate: 16 }, tall: { decay: false }, vector: { decay: true } },
  },
  sgd: { optimizer: () => sgd({ weightDecay: 0.1 }) },
  'sgd-momentum': { optimizer: () => chain(clip(1), sgd({ momentum: 0.9, weightDecay: 0.1 })) },
  'sgd-nesterov': { optimizer: () => sgd({ momentum: 0.9, nesterov: true, weightDecay: 0.1 }) },
  lion: { optimizer: () => lion({ weightDecay: 0.1 }) },
  adafactor: { optimizer: () => adafactor({ weightDecay: 0.1 }), names: [...small, 'cube'] },
  'adafactor-others': {
    optimizer: () => adafactor({ beta2Decay: -0.5, eps: 1e-3, leastScale: 0.5, clipThreshold: 1.2 }),
    names: [...small, 'cube'],
  },
  muon: { optimizer: () => muon({ weightDecay: 0.1 }) },
  'muon-adamw': { optimizer: () => muon({ momentum: 0.8, nesterov: false, adjust: 'adamw' }) },
  'muon-spectral': { optimizer: () => muon({ iterations: 3, adjust: 'spectral' }) },
  // torch's own, whose iteration is rounded to 8 bits: ten steps move a weight by up to 0.15.
  'muon-bf16': { optimizer: () => muon({ weightDecay: 0.1 }), tolerance: 5e-3 },
  'schedule-free': { optimizer: () => scheduleFree({ weightDecay: 0.1 }) },
  'schedule-free-others': {
    optimizer: () => chain(clip(1), scheduleFree({ beta1: 0.8, beta2: 0.95, eps: 1e-6, power: 1, ratePower: 1 })),
  },
  'schedule-free-average': { optimizer: () => scheduleFree({ weightDecay: 0.1 }), rests: true },
  prodigy: { optimizer: () => prodigy({ weightDecay: 0.1, start: 1e-3 }), factor: 50 },
  'prodigy-others': {
    optimizer: () =>
      chain(
        clip(1),
        prodigy({
          beta1: 0.8,
          beta2: 0.95,
          eps: 1e-6,
          start: 1e-2,
          factor: 2,
          growth: 1.1,
          biasCorrection: true,
          safeguardWarmup: true,
        }),
      ),
    factor: 50,
  },
  galore: {
    optimizer: () => galore({ rank: 2, every: 4, weightDecay: 0.1 }),
    names: [...small, 'large'],
  },
  'galore-whole': {
    optimizer: () => chain(clip(1), galore({ rank: 9, scale: 1, beta1: 0.8 })),
    names: [...small, 'cube'],
  },
  // A moment in the very middle between two levels may go to either.
  adamw8bit: { optimizer: () => adamw8bit({ weightDecay: 0.1 }), names: ['large', 'vector'], tolerance: 5e-5 },
  // Its CPU code takes another level than the nearest for small values.
  'adamw8bit-cpu': { optimizer: () => adamw8bit({ weightDecay: 0.1 }), names: ['large', 'vector'], tolerance: 2e-2 },
};

describe.each([...executors, ['webgpu', () => webgpu({ adapter: 'software' })] as const])('on %s', (_, open) => {
  let executor: Executor;
  beforeAll(async () => {
    executor = await open();
  });
  afterAll(() => executor.close());

  test.each(Object.entries(cases))('ten steps of %s are those of its reference', (golden, { optimizer, ...rest }) =>
    follow(golden, executor, optimizer(), rest.names, rest.hints, rest),
  );
});
