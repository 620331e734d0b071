import { grad } from '@peftjs/autograd';
import { type Adapted, attach, chain } from '@peftjs/core';
import { lora } from '@peftjs/lora';
import { compile, type Executor, input, type Plan, type Program, type ProgramSpec, reference } from '@peftjs/tensor';
import { startOnEach } from '@peftjs/tensor/testing';
import { meanOf } from '@peftjs/transformer';
import { tinyLlama } from '@peftjs/transformer/testing';
import { webgpu } from '@peftjs/webgpu';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { optimizerStep, steppedParams } from './optimizer-step.ts';
import { adamw } from './optimizers/adamw.ts';
import { clip } from './optimizers/clip.ts';
import { makeTrainStep } from './train-step.ts';

let executor: Executor;
beforeAll(async () => {
  executor = await webgpu({ adapter: 'software' });
});
afterAll(() => executor.close());

/** A LoRA step with AdamW and clipping, on q and v as is usual. */
const targetOf = (config: Parameters<typeof tinyLlama>[0]): Adapted =>
  attach(tinyLlama(config), [lora({ rank: 8, alpha: 16, target: ['q_proj', 'v_proj'] })]);

const loraStep = (config: Parameters<typeof tinyLlama>[0], batch: number, context: number) => {
  const target = targetOf(config);
  const [ids, labels] = [input('ids', [batch, context], 'i32'), input('labels', [batch, context], 'i32')];
  const loss = meanOf(target.loss({ ids, labels }, input('seed', [], 'u32')));
  const params = steppedParams(target);
  const grads = grad(loss, params);
  const gradients = { values: new Map(params.map((p, i) => [p, grads[i]!])) };
  const { updates, gradNorm, finite, feeds } = optimizerStep(chain(clip(1), adamw()), gradients, loss);
  return { spec: { outputs: { loss, gradNorm, finite }, updates } satisfies ProgramSpec, params, numbers: feeds };
};

describe('the kernels of a LoRA step', () => {
  test('are at most 171 for four layers', async () => {
    const small = {
      vocabSize: 4096,
      hiddenSize: 256,
      intermediateSize: 688,
      layers: 4,
      heads: 8,
      keyValueHeads: 8,
      headDim: 32,
      maxPositions: 128,
    };
    const plans: Plan[] = [];
    const watched: Executor = Object.assign(Object.create(executor) as Executor, {
      compile: async (program: Program) => {
        const executable = await executor.compile(program);
        plans.push(executable.plan);
        return executable;
      },
    });
    const shape = { shape: [4, 128], dtype: 'i32' } as const;
    const optimizer = chain(clip(1), adamw());
    const inputs = { ids: shape, labels: shape };
    const { close } = await makeTrainStep(targetOf(small), { executor: watched, optimizer, inputs });
    expect(plans.length).toBe(1);
    const [plan] = plans as [Plan];
    const listing = plan.kernels.map((k) => `${k.count} ${k.name}`).join('\n');
    expect(plan.dispatches, listing).toBeLessThanOrEqual(171);
    expect(plan.kernels.filter((k) => /^transpose/.test(k.name))).toEqual([]);
    close();
  });

  test('train as the definition does', async () => {
    const { spec, params, numbers } = loraStep({}, 2, 5);
    const definition = reference();
    await startOnEach(
      [executor, definition],
      spec.updates!.map(([v]) => v),
    );
    const [fused, plain] = [await compile(spec, { executor }), await compile(spec, { executor: definition })];
    const ids = Int32Array.from({ length: 10 }, (_, i) => (i * 5) % 13);
    const labels = Int32Array.from({ length: 10 }, (_, i) => (i % 4 === 0 ? -100 : (i * 7) % 13));
    for (let step = 0; step < 3; step++) {
      const { 'adamw.hyper': hyper } = numbers(step, 0.01);
      const feeds = { ids, labels, 'adamw.hyper': hyper! };
      const [got, want] = [await fused.run(feeds), await plain.run(feeds)];
      expect(got['loss']![0]).toBeCloseTo(want['loss']![0]!, 4);
      expect(got['gradNorm']![0]).toBeCloseTo(want['gradNorm']![0]!, 4);
    }
    for (const p of params) {
      const [got, want] = [await executor.read(p), await definition.read(p)];
      want.forEach((w, i) => void expect(Math.abs(got[i]! - w), `${p.node.name}[${i}]`).toBeLessThan(2e-4));
    }
    fused.close();
  });
});
