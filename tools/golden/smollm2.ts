/**
 * A chat model with LoRA beside PyTorch and PEFT: the losses of twenty steps, how long steps take and the memory, in alternation; the first step after loading; the adapter
 * read by PEFT, and greedy texts of both, from a GGUF file too.
 * `node --conditions=@peftjs/source --import tsx smollm2.ts PYTHON MODEL [GGUF]`, e.g. of SmolLM2-135M-Instruct; PYTHON has requirements.txt, for GGUF also gguf.
 */
import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { load, save } from '@peftjs/core';
import { type Batch, batch, chat, fromArray, pipe } from '@peftjs/data';
import { loadGguf } from '@peftjs/gguf';
import { type ChatMessage, loadChat } from '@peftjs/io';
import { lora } from '@peftjs/lora';
import { cpu } from '@peftjs/onnx';
import { adamw, makeTrainStep } from '@peftjs/trainer';
import { generate, loadModel } from '@peftjs/transformer';

const [python, dir, gguf] = process.argv.slice(2);
if (!python || !dir) throw new Error('give a Python and the folder of a chat model');

const [steps, rows, context, rate] = [20, 2, 96, 1e-3];
const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1]!;
const peak = async (): Promise<number> =>
  Number(/^VmHWM:\s*(\d+)/m.exec(await readFile('/proc/self/status', 'utf8'))![1]) / 1024;

/** A process of Python: a question is a line, and so is its answer. In between it stands still, since its threads would go on to spin. */
const python3 = () => {
  const child = spawn(python, [join(import.meta.dirname, 'check_smollm2.py'), dir, String(availableParallelism())], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  return {
    ask: async <T>(...question: readonly unknown[]): Promise<T> => {
      child.kill('SIGCONT');
      child.stdin.write(`${JSON.stringify(question)}\n`);
      const { value, done } = await lines.next();
      if (done) throw new Error(`Python ended at ${String(question[0])}`);
      child.kill('SIGSTOP');
      return JSON.parse(value) as T;
    },
    end: () => {
      child.stdin.end();
      child.kill('SIGCONT');
    },
  };
};

const words = 'whale ship sea captain harpoon storm sail mast crew night wind deck'.split(' ');
const wordAt = (i: number): string => words[i % words.length]!;
const talks = Array.from({ length: steps * rows }, (_, i): { readonly messages: readonly ChatMessage[] } => ({
  messages: [
    { role: 'user', content: `Say ${wordAt(i)} and ${wordAt(5 * i + 1)} in one line.` },
    {
      role: 'assistant',
      content: `The ${wordAt(i)} meets the ${wordAt(5 * i + 1)}, and the ${wordAt(7 * i + 2)} is still.`,
    },
  ],
}));

const folder = await mkdtemp(join(tmpdir(), 'peftjs-smollm2-'));
const [before, after] = [join(folder, 'before'), join(folder, 'after')];
const own = await loadChat(dir);
const batches: Batch[] = [];
const rowsOfTalks = pipe(fromArray(talks), chat(own), batch({ size: rows, multipleOf: context, mask: false }));
for await (const made of rowsOfTalks.open()) batches.push(made);
const shape = [rows, context];
const listOf = (made: Batch, name: string): number[][] =>
  Array.from({ length: rows }, (_, row) => [...made.columns[name]!.subarray(row * context, (row + 1) * context)]);

const theirs = python3();
const { messages } = talks[0]!;
const same = String(await theirs.ask('turns', messages)) === String(own.encode(messages));
console.log(`the chat template gives the tokens of transformers: ${same}`);
await theirs.ask('begin', 'float32', before, rate);

const executor = await cpu();
const model = await loadModel(dir);
const adapted = await load(model, before, [lora]);
const processor = (): number => Object.values(process.cpuUsage()).reduce((sum, part) => sum + part / 1e6, 0);
const [loaded, used] = [performance.now(), processor()];
const spec = { shape, dtype: 'i32' } as const;
const train = await makeTrainStep(adapted, { executor, optimizer: adamw(), inputs: { ids: spec, labels: spec } });
const step = async (at: number): Promise<{ readonly loss: number; readonly seconds: number }> => {
  const begun = performance.now();
  await train.run(at, rate, [batches[at % steps]!]);
  const [result] = await train.results();
  return { loss: result!.loss, seconds: (performance.now() - begun) / 1000 };
};
/** Steps of both by turns: how far losses are apart at most, and the median of how much longer theirs took. */
const together = async (other: typeof theirs, from: number, count: number) => {
  const [losses, apart, longer]: [number[], number[], number[]] = [[], [], []];
  for (let at = from; at < from + count; at++) {
    const mine = await step(at);
    if (at === 0)
      console.log(
        `the first step after loading: ${((performance.now() - loaded) / 1000).toFixed(2)} s, ${(processor() - used).toFixed(2)} s of the processor`,
      );
    const made = batches[at % steps]!;
    const there = await other.ask<typeof mine>('step', listOf(made, 'ids'), listOf(made, 'labels'));
    losses.push(mine.loss);
    apart.push(Math.abs(mine.loss - there.loss));
    if (at > from) longer.push(there.seconds / mine.seconds);
  }
  return { losses, apart: Math.max(...apart), longer: median(longer) };
};
const f32 = await together(theirs, 0, steps);
console.log(
  `losses of ${steps} steps: ${f32.losses[0]!.toFixed(4)} -> ${f32.losses.at(-1)!.toFixed(4)}, at most ${f32.apart.toExponential(1)} from PyTorch's; ${f32.longer.toFixed(2)} times its tokens a second`,
);
const [mine, there] = [await peak(), await theirs.ask<number>('peak')];
console.log(`peak ${mine.toFixed(0)} MiB, PyTorch's ${there.toFixed(0)}: ${(mine / there).toFixed(2)} of it`);
await save(adapted, after, { executor });
const prompt = [...own.encode(messages.slice(0, 1), { generationPrompt: true })];
const greedy = { executor, prompt, maxTokens: 24, temperature: 0 };
/** Ours leave out the token that ends a text, which transformers gives too. */
const isSame = (ours: readonly number[], theirTokens: readonly number[]): boolean =>
  String(ours) ===
  String(theirTokens.filter((id, i) => i < theirTokens.length - 1 || !model.config.eosIds.includes(id)));
const [wrote, wrote2] = [
  await generate(adapted.model, greedy),
  await theirs.ask<number[]>('greedy', prompt, 24, after),
];
console.log(
  `greedy with the adapter: ${JSON.stringify(own.tokenizer.decode(wrote))}; PEFT, which takes every tensor, writes the same: ${isSame(wrote, wrote2)}`,
);
if (gguf) {
  const [packed, packed2] = [
    await generate(await loadGguf(gguf), greedy),
    await theirs.ask<number[]>('greedy', prompt, 24, null, gguf),
  ];
  console.log(
    `greedy of the GGUF file: ${JSON.stringify(own.tokenizer.decode(packed))}; transformers, which unpacks it, writes the same: ${isSame(packed, packed2)}`,
  );
}
theirs.end();
const theirs16 = python3();
await theirs16.ask('begin', 'bfloat16', before, rate);
const bf16 = await together(theirs16, steps, 6);
const there16 = await theirs16.ask<number>('peak');
console.log(
  `${bf16.longer.toFixed(2)} times the tokens a second of PyTorch in bf16, whose peak is ${there16.toFixed(0)} MiB`,
);
theirs16.end();
await executor.close();
await rm(folder, { recursive: true });
