/**
 * Times a pass and a gradient of an encoder with `coda` beside one with `parallelAdapter`, by turns: CPU time, medians. Usage: node --conditions=@peftjs/source --import tsx tools/coda-time.ts [tokens] [turns]
 */
import { grad } from '@peftjs/autograd';
import { attach, type Method } from '@peftjs/core';
import { cpu } from '@peftjs/onnx';
import { compile, type Executable, input } from '@peftjs/tensor';
import { meanOf } from '@peftjs/transformer';
import { tinyBert } from '@peftjs/transformer/testing';
import { coda, parallelAdapter } from '../src/index.ts';

const [tokens = 256, turns = 9] = process.argv.slice(2).map(Number);
const batch = 4;
const model = tinyBert({
  vocabSize: 1000,
  hiddenSize: 384,
  layers: 6,
  heads: 6,
  headDim: 64,
  intermediateSize: 1536,
  maxPositions: Math.max(512, tokens),
});
const executor = await cpu();

const feeds = {
  ids: Int32Array.from({ length: batch * tokens }, (_, i) => (i * 7919) % 1000),
  labels: Int32Array.of(0, 1, 1, 0),
};

interface Case {
  readonly name: string;
  readonly pass: Executable;
  readonly step: Executable;
}

const caseOf = async (name: string, method: Method): Promise<Case> => {
  const adapted = attach(model, [method]);
  const inputs = { ids: input('ids', [batch, tokens], 'i32'), labels: input('labels', [batch], 'i32') };
  const params = [...adapted.params.values()];
  const gradients = grad(meanOf(adapted.model.loss(inputs)), params);
  const outputs = Object.fromEntries(gradients.map((g, i) => [`g${i}`, g]));
  const started = performance.now();
  const pass = await compile({ outputs: { logits: adapted.model.outputs({ ids: inputs.ids }) } }, { executor });
  const step = await compile({ outputs }, { executor });
  console.log(`${name}: ${Math.round(performance.now() - started)} ms to compile`);
  return { name, pass, step };
};

const cases = [
  await caseOf('parallel adapter, all tokens', parallelAdapter({ bottleneck: 64 })),
  await caseOf('coda, a third of the tokens, keys of all', coda({ ratio: 3 })),
  await caseOf('coda, a third, their own keys', coda({ ratio: 3, keys: 'chosen' })),
  await caseOf('coda, a fifth, their own keys', coda({ ratio: 5, keys: 'chosen' })),
];

const timed = async (program: Executable, needed: object): Promise<number> => {
  const before = process.cpuUsage();
  await program.run(needed as typeof feeds);
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
};

const times = new Map<string, { readonly pass: number[]; readonly step: number[] }>(
  cases.map(({ name }) => [name, { pass: [], step: [] }]),
);
for (let turn = -1; turn < turns; turn++)
  for (const { name, pass, step } of cases) {
    const of = { pass: await timed(pass, { ids: feeds.ids }), step: await timed(step, feeds) };
    if (turn < 0) continue; // warming up
    times.get(name)!.pass.push(of.pass);
    times.get(name)!.step.push(of.step);
  }
const median = (all: readonly number[]): number => all.toSorted((a, b) => a - b)[Math.floor(all.length / 2)]!;
const [first] = [...times.values()] as [{ pass: number[]; step: number[] }];
for (const [name, { pass, step }] of times)
  console.log(
    `${name}: pass ${median(pass).toFixed(0)} ms (1 / ${(median(first.pass) / median(pass)).toFixed(2)}), gradients ${median(step).toFixed(0)} ms (1 / ${(median(first.step) / median(step)).toFixed(2)})`,
  );
await executor.close();
