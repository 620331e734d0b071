import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { grad } from '@peftjs/autograd';
import { type Adapted, load, save } from '@peftjs/core';
import { memoryFiles } from '@peftjs/io';
import { lora, xLoraFor } from '@peftjs/lora';
import { constant, evaluate } from '@peftjs/tensor';
import { distance } from '@peftjs/testkit';
import { generate, loadModel, meanOf } from '@peftjs/transformer';
import { describe, expect, test } from 'vitest';
import { context, rows, trainThreeSteps } from '../src/open-golden.ts';
import { modelDir, readGolden } from '../src/python-golden.ts';
import { executors } from './executors.ts';

const base = await loadModel(modelDir('plain'));

const opened = async (dir: string) => {
  const experts = await Promise.all([0, 1, 2].map((i) => load(base, join(dir, `../expert${i}`), [lora])));
  const [a, b, c] = experts as [Adapted, Adapted, Adapted];
  const format = xLoraFor({ expert0: a, expert1: b, expert2: c });
  return { format, adapted: await load(base, dir, [format]) };
};

describe.each(executors)('X-LoRA of Hugging Face PEFT, on %s', (_, open) => {
  test.each(['plain', 'layerwise', 'top'])('%s is the same function, trains and continues as there', async (name) => {
    const record = await readGolden(`xlora-${name}`);
    const executor = await open();
    const { adapted, format } = await opened(record.adapterDir);
    const [ids, labels] = [record.ids, record.labels].map((data) => constant(data, [rows, context]));
    const loss = meanOf(adapted.loss({ ids: ids!, labels: labels! }, constant(Uint32Array.of(1), [])));
    const names = [...adapted.params.keys()];
    const gradients = grad(loss, [...adapted.params.values()]).map((g, i) => [names[i]!, g] as const);
    const found = await evaluate(
      { logits: adapted.model.logits(ids!), loss, ...Object.fromEntries(gradients) },
      { executor },
    );
    expect(distance(found['logits']!, record.logits)).toBeLessThan(1e-4);
    expect(distance(found['loss']!, [record.losses[0]!])).toBeLessThan(1e-5);
    expect(names.toSorted()).toEqual([...record.gradients.keys()].toSorted());
    for (const of of names) {
      const wanted = record.gradients.get(of)!;
      const largest = distance(wanted, new Float32Array(wanted.length));
      expect(distance(found[of]!, wanted) / largest, of).toBeLessThan(1e-4);
    }
    // With a cache, where PEFT has none.
    const prompt = record.ids.subarray(0, 8);
    expect(await generate(adapted.model, { executor, prompt, maxTokens: 20 })).toEqual([...record.greedy!]);
    const pair = [prompt, record.ids.subarray(3, 8)];
    const [first, second] = await generate(adapted.model, { executor, prompt: pair, maxTokens: 6 });
    expect(first).toEqual([...record.greedy!.slice(0, 6)]);
    expect(second).toEqual(await generate(adapted.model, { executor, prompt: pair[1]!, maxTokens: 6 }));

    const files = memoryFiles();
    await save(adapted, files, { executor });
    expect((await load(base, files, [format])).params.size).toBe(adapted.params.size);
    const config = JSON.parse(await readFile(join(record.adapterDir, 'adapter_config.json'), 'utf8')) as object;
    const ours = JSON.parse(new TextDecoder().decode(await files.read('adapter_config.json'))) as object;
    const ofTheirs = ['auto_mapping', 'base_model_name_or_path', 'peft_version', 'revision', 'inference_mode'];
    const known = Object.entries(config).filter(([field]) => !ofTheirs.includes(field));
    expect(ours).toMatchObject(Object.fromEntries(known));

    const losses = await trainThreeSteps(
      { name, model: 'plain', formats: [format] } as never,
      adapted,
      record,
      executor,
    );
    expect(distance(losses, record.losses)).toBeLessThan(1e-4);
    executor.close();
  });
});
