import { join } from 'node:path';
import { attach, load } from '@peftjs/core';
import { arrow, lora } from '@peftjs/lora';
import { constant, evaluate, reference } from '@peftjs/tensor';
import { distance } from '@peftjs/testkit';
import { loadModel } from '@peftjs/transformer';
import { describe, expect, test } from 'vitest';
import { recordedIn } from '../src/families.ts';
import { modelDir } from '../src/python-golden.ts';

const executor = reference();
const folder = join(import.meta.dirname, '../data/python/arrow');

describe.each(['plain', 'gpt2'])('LoRAs on %s', async (name) => {
  const base = await loadModel(modelDir(name));
  const [first, second, third, general] = await Promise.all(
    [0, 1, 2, 3].map((i) => load(base, join(folder, `${name}-${i}`), [lora])),
  );
  const experts = [first!, second!, third!];
  const recorded = await recordedIn(join(folder, `${name}.safetensors`));
  const { data, shape } = recorded.get('ids')!;
  const ids = constant(Int32Array.from(data), shape);
  const logits = async (model: typeof base): Promise<Float32Array> =>
    (await evaluate({ y: model.logits(ids) }, { executor }))['y'] as Float32Array;

  test.each(['arrow', 'general'])('routed by Arrow give what PEFT gives: %s', async (kind) => {
    const more = kind === 'general' ? { general: [general!] } : {};
    const got = await logits(await arrow(experts, { executor, topK: 2, temperature: 0.5, ...more }));
    expect(distance(got, recorded.get(kind)!.data)).toBeLessThan(1e-4);
    expect(distance(await logits(first!.model), recorded.get(kind)!.data)).toBeGreaterThan(1e-2);
  });

  test('are refused where they cannot be routed', async () => {
    await expect(arrow(experts, { executor, topK: 4 })).rejects.toThrow('topK 4 is more than the 3 experts');
    await expect(arrow([], { executor })).rejects.toThrow('there is no expert');
    const other = attach(base, [lora({ target: name === 'plain' ? 'k_proj' : 'c_fc', rank: 3 })]);
    await expect(arrow([first!, other], { executor, topK: 1 })).rejects.toThrow('adapter 1 changes other layers');
    const ranked = attach(base, [lora({ target: first!.method.config(base)['target_modules'] as string[], rank: 2 })]);
    await expect(arrow([first!], { executor, topK: 1, general: [ranked] })).rejects.toThrow('have ranks 3 and 2');
    await expect(
      arrow([first!, attach(await loadModel(modelDir(name)), [lora()])], { executor, topK: 1 }),
    ).rejects.toThrow('unlike bases');
  });
});
