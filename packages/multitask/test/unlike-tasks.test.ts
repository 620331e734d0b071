import { attach, mixBatch } from '@peftjs/core';
import { reference } from '@peftjs/tensor';
import { shake, tinyLlama } from '@peftjs/testkit';
import { generator } from '@peftjs/transformer';
import { expect, test } from 'vitest';
import { hyperformer, hyperformerFor, moeLora, moeLoraFor, mtlLora, mtlLoraFor, poly, polyFor } from '../src/index.ts';

const small = { reduction: 2, embedding: 3, projected: 3, hidden: 4 };

/** An adapter of three tasks, and what it is for one of them. */
const methods = {
  poly: [poly({ rank: 2, skills: 2, tasks: 3 }), (task: number) => polyFor(task)({ rank: 2, skills: 2, tasks: 3 })],
  moeLora: [
    moeLora({ rank: 4, experts: 2, tasks: 3 }),
    (task: number) => moeLoraFor(task)({ rank: 4, experts: 2, tasks: 3 }),
  ],
  mtlLora: [mtlLora({ rank: 2, tasks: 3 }), (task: number) => mtlLoraFor(task)({ rank: 2, tasks: 3 })],
  hyperformer: [hyperformer({ tasks: 3, ...small }), (task: number) => hyperformerFor(task)({ tasks: 3, ...small })],
} as const;

test.each(Object.entries(methods))(
  '%s generates for rows of unlike tasks, each as by itself',
  async (_, [whole, of]) => {
    const executor = reference();
    const base = tinyLlama();
    const trained = attach(base, [whole]);
    await shake(trained.params, { executor, std: 1 });
    const each = [0, 1, 2].map((task) => attach(base, [of(task)]));
    for (const { state } of each)
      for (const [name, v] of state) await executor.write(v, await executor.read(trained.state.get(name)!));
    const prompts = [
      [3, 1, 4],
      [1, 5],
      [3, 1, 4],
      [2, 7, 1, 8],
    ];
    const tasks = [2, 0, 1, 2];
    const mixed = mixBatch(each, prompts.length);
    await mixed.assign(tasks, { executor });
    const limits = { maxTokens: 6, stop: [] };
    const together = await generator(mixed.model, { executor }).generate(prompts, limits);
    for (const [row, prompt] of prompts.entries()) {
      const { model } = each[tasks[row]!]!;
      expect(together[row]).toEqual((await generator(model, { executor }).generate([prompt], limits))[0]);
    }
    expect(together[0]).not.toEqual(together[2]);
  },
);
