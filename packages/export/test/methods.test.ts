import * as adapters from '@peftjs/adapters';
import { attach, type Method, type MethodFormat } from '@peftjs/core';
import * as hybrid from '@peftjs/hybrid';
import { memoryFiles } from '@peftjs/io';
import * as lora from '@peftjs/lora';
import { cpu } from '@peftjs/onnx';
import * as prompts from '@peftjs/prompts';
import * as scaling from '@peftjs/scaling';
import * as selective from '@peftjs/selective';
import { type Executor, evaluate } from '@peftjs/tensor';
import type { CausalLM } from '@peftjs/transformer';
import { distance, shake, tinyLlama, tokens } from '@peftjs/transformer/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { exportModel } from '../src/index.ts';
import { openFiles } from './session.ts';

/** Options where the defaults are for larger models. */
const options: Readonly<Record<string, object>> = {
  c3a: { blockSize: 2 },
  miss: { rank: 2 },
  oft: { blockSize: 2 },
  road: { groupSize: 2 },
  shira: { rank: 2 },
};

/** Those that need values to begin with, from examples or other adapters, or a method to be around. */
const apart = ['adapterFusion', 'fishMask', 'gated'];

/** Those that leave more than the tokens' keys and values to later passes. */
const uncached = ['ladderSide', 'pTuning', 'promptTuning'];

/** Those whose gates look at all tokens of a pass, so that a text in two passes is another than in one. */
const byPass = ['adapterHubGatedLora', 'unipelt'];

const isFormat = (value: unknown): value is MethodFormat & ((options?: object) => Method) =>
  typeof value === 'function' && 'fromConfig' in value;

const methods = [adapters, hybrid, lora, prompts, scaling, selective]
  .flatMap((family) => Object.values(family as Readonly<Record<string, unknown>>).filter(isFormat))
  .filter(({ name }) => !apart.includes(name));

let executor: Executor;
beforeAll(async () => {
  executor = await cpu({ threads: 1 });
});
afterAll(() => executor.close());

const text = [1, 5, 2, 7, 7, 3, 12, 4, 9, 0, 11, 6, 8, 10];

/** The largest difference of a file's logits from the model's own: of whole texts, and of continued ones. */
const difference = async (
  model: CausalLM,
  { cache, continued }: { cache: boolean; continued: boolean },
): Promise<number> => {
  const files = memoryFiles();
  await exportModel(model, files, { executor, cache });
  const { run, close } = await openFiles(files);
  let most = 0;
  for (const rows of [[text], [text.slice(0, 5), text.slice(5, 10), text.slice(9, 14)], [[3]]]) {
    const { wanted } = await evaluate({ wanted: model.logits(tokens(...rows)) }, { executor });
    const first = await run(rows);
    most = Math.max(most, distance(first.logits, wanted!));
    if (!continued) continue;
    const next = rows.map((row) => [row[0]!, 4]);
    const { all } = await evaluate(
      { all: model.logits(tokens(...rows.map((row, i) => [...row, ...next[i]!]))) },
      { executor },
    );
    const { logits } = await run(next, { past: first.past });
    const length = rows[0]!.length + 2;
    for (const row of rows.keys())
      most = Math.max(
        most,
        distance(
          logits.subarray(row * 2 * 13, (row + 1) * 2 * 13),
          all!.subarray(((row + 1) * length - 2) * 13, (row + 1) * length * 13),
        ),
      );
  }
  await close();
  return most;
};

describe('every method is the same function in a file', () => {
  test('and all are here', () => expect(methods.length).toBeGreaterThan(30));

  test.each(methods.map((method) => [method.name, method] as const))('%s', async (name, method) => {
    const { model, params } = attach(tinyLlama(), [method(options[name] ?? {})]);
    await shake(params, { executor });
    if (uncached.includes(name)) {
      await expect(exportModel(model, memoryFiles(), { executor })).rejects.toMatchObject({
        code: 'not-mergeable',
        message: expect.stringMatching(/^exportModel: .*cache: false/),
      });
      expect(await difference(model, { cache: false, continued: false })).toBeLessThan(1e-4);
    } else expect(await difference(model, { cache: true, continued: !byPass.includes(name) })).toBeLessThan(1e-4);
  });
});
