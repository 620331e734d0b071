import { houlsby } from '@peftjs/adapters';
import { attach, type Method, mixBatch } from '@peftjs/core';
import { lora } from '@peftjs/lora';
import { prefixTuning, promptTuning } from '@peftjs/prompts';
import { int8, quantize } from '@peftjs/quant';
import { ia3 } from '@peftjs/scaling';
import { bitfit } from '@peftjs/selective';
import { compile, type Executor, input } from '@peftjs/tensor';
import { distance, shake, tinyGpt2, tinyLlama } from '@peftjs/testkit';
import { type CausalLM, generate } from '@peftjs/transformer';
import { describe, expect, test } from 'vitest';
import { executors } from './executors.ts';

const rows = [
  [1, 5, 2, 9],
  [3, 3, 11, 0],
  [7, 1, 1, 4],
  [2, 6, 8, 3],
];
const feeds = { ids: Int32Array.from(rows.flat()) };
/** Two turns over one compiled program. */
const turns = [
  [1, null, 0, 1],
  [0, 1, 1, null],
] as const;

const methods: Readonly<Record<string, Method>> = {
  lora: lora({ rank: 2, alpha: 4 }),
  ia3: ia3(),
  bitfit: bitfit(),
  houlsby: houlsby({ reduction: 4 }),
  promptTuning: promptTuning({ length: 3 }),
  prefixTuning: prefixTuning({ length: 3 }),
};

const decoders = { llama: () => tinyLlama(), gpt2: () => tinyGpt2() };

const logitsOf = async (model: CausalLM, executor: Executor): Promise<() => Promise<Float32Array>> => {
  const program = await compile({ outputs: { y: model.logits(input('ids', [4, 4], 'i32')) } }, { executor });
  return async () => (await program.run(feeds))['y'] as Float32Array;
};

/** The row of a batch. */
const rowOf = (values: Float32Array, row: number): Float32Array =>
  values.subarray((row * values.length) / 4, ((row + 1) * values.length) / 4);

describe.each(executors.slice(1))('mixed batches on %s', (executorName, open) => {
  const cases = Object.entries(methods).filter(([name]) => executorName !== 'webgpu' || /lora|prefix/.test(name));
  test.each(cases)('%s: each row gives what its adapter alone gives', async (_name, method) => {
    const executor = await open();
    for (const [architecture, make] of Object.entries(decoders)) {
      const base = executorName === 'cpu' ? quantize(make(), int8()) : make();
      const adapters = [0, 1].map((seed) => attach(base, [method], { seed }));
      for (const { params } of adapters) await shake(params, { executor, std: 0.2 });
      const mixed = mixBatch(adapters, 4);
      const [run, plain, ...alone] = await Promise.all(
        [mixed.model, base, ...adapters.map((a) => a.model)].map((model) => logitsOf(model, executor)),
      );
      const wanted = await Promise.all(alone.map((own) => own()));
      const without = await plain!();
      for (const turn of turns) {
        await mixed.assign(turn, { executor });
        const got = await run!();
        for (const [row, i] of turn.entries()) {
          const own = rowOf(i === null ? without : wanted[i]!, row);
          // A row alone is multiplied by the packed codes, many by the unpacked matrix: the last digits differ.
          expect(distance(rowOf(got, row), own), `${architecture}, row ${row}`).toBeLessThan(2e-5);
        }
      }
    }
  });

  test('rows continue their prompts as their adapters alone do', async () => {
    const executor = await open();
    const base = decoders.gpt2();
    const adapters = [0, 1].map((seed) => attach(base, [methods['prefixTuning']!], { seed }));
    for (const { params } of adapters) await shake(params, { executor, std: 0.2 });
    const mixed = mixBatch(adapters, 4);
    await mixed.assign(turns[0], { executor });
    const options = { executor, maxTokens: 4, stop: [] };
    const together = await generate(mixed.model, { ...options, prompt: rows });
    for (const [row, i] of turns[0].entries()) {
      const own = i === null ? base : adapters[i]!.model;
      expect(together[row], `row ${row}`).toEqual(await generate(own, { ...options, prompt: rows[row]! }));
    }
  });
});
