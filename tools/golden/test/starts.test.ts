import { join } from 'node:path';
import { attach, load, save } from '@peftjs/core';
import { memoryFiles } from '@peftjs/io';
import { lora, olora, pissa } from '@peftjs/lora';
import { cpu } from '@peftjs/onnx';
import { constant, evaluate } from '@peftjs/tensor';
import { distance } from '@peftjs/testkit';
import { adamw, makeTrainStep } from '@peftjs/trainer';
import { loadModel } from '@peftjs/transformer';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { recordedIn } from '../src/families.ts';
import { modelDir } from '../src/python-golden.ts';

const targets = { plain: ['q_proj', 'o_proj', 'down_proj'], gpt2: ['c_attn', 'c_proj'] };
const starts = { pissa, olora };
const cases: readonly (readonly [keyof typeof targets, keyof typeof starts])[] = [
  ['plain', 'pissa'],
  ['plain', 'olora'],
  ['gpt2', 'pissa'],
];

describe('a LoRA that begins with a part of the weights', () => {
  let executor: Awaited<ReturnType<typeof cpu>>;
  beforeAll(async () => void (executor = await cpu({ threads: 1 })));
  afterAll(() => executor.close());

  test.each(cases)('on %s by %s trains as in PEFT, and so does the ordinary LoRA made of it', async (model, how) => {
    const base = await loadModel(modelDir(model));
    const recorded = await recordedIn(join(import.meta.dirname, `../data/python/starts/${model}.safetensors`));
    const integers = (name: string): Int32Array => Int32Array.from(recorded.get(name)!.data);
    const { shape } = recorded.get('ids')!;
    const ids = constant(integers('ids'), shape);
    const adapted = attach(base, [starts[how]({ target: targets[model], rank: 3, alpha: 5 })]);
    const optimizer = adamw({ weightDecay: 0 });
    const step = await makeTrainStep(adapted, { executor, optimizer });
    const columns = { ids: integers('ids'), labels: integers('labels') };
    const losses: number[] = [];
    for (let i = 0; i < 3; i++) {
      await step.run(i, 1e-2, [{ rows: shape[0]!, columns, shapes: { ids: shape, labels: shape } }]);
      losses.push((await step.results())[0]!.loss);
    }
    step.close();
    expect(distance(losses, recorded.get(`${how} losses`)!.data)).toBeLessThan(1e-4);
    const logits = recorded.get(`${how} logits`)!.data;
    const files = memoryFiles(new Map());
    await save(adapted, files, { executor });
    for (const { model: view } of [adapted, await load(base, files, [lora])])
      expect(distance((await evaluate({ y: view.logits(ids) }, { executor }))['y']!, logits)).toBeLessThan(1e-4);
    const before = await evaluate({ y: base.logits(ids) }, { executor });
    expect(distance(before['y']!, logits)).toBeGreaterThan(1e-2);
  });
});
