// One pass over a corpus in a process of its own: `pass.ts '{"model":"…","megabytes":100,"context":256,"rows":8}'` prints a line of JSON.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { attach } from '@peftjs/core';
import { atMost, type Batch, batch, chat, convert, jsonl, map, packWhole, pipe, shuffle } from '@peftjs/data';
import { loadChat } from '@peftjs/io';
import { lora } from '@peftjs/lora';
import { cpu } from '@peftjs/onnx';
import { adamw, chain, clip, makeTrainStep } from '@peftjs/trainer';
import { type CausalLM, loadModel } from '@peftjs/transformer';
import { writeConversations } from './conversations.ts';
import type { Moment, Pass, PassOptions } from './corpus.ts';

const { model, megabytes, context, rows } = JSON.parse(process.argv[2]!) as PassOptions;

const processorSeconds = (): number => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
};

/** ChatML, for models without a template. */
const template = `{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}{% if m.role == 'assistant' %}{% generation %}{{ m.content + '<|im_end|>\n' }}{% endgeneration %}{% else %}{{ m.content + '<|im_end|>\n' }}{% endif %}{% endfor %}`;
const templated = await loadChat(model).catch(() => loadChat(model, { template }));

const folder = await mkdtemp(join(tmpdir(), 'peftjs-corpus-'));
const path = join(folder, 'chats.jsonl');
const { lines, bytes } = await writeConversations(path, { bytes: megabytes * 1e6, seed: 1 });
let [read, cut] = [0, 0];
const stream = pipe(
  jsonl(path),
  // Before what costs time, so that resuming does little of it again.
  shuffle({ seed: 1, window: 1000 }),
  map((item) => {
    read++;
    return item;
  }),
  convert('messages'),
  chat(templated),
  atMost({ context, long: 'cut-end', onLong: () => cut++ }),
  packWhole({ context, window: 200 }),
  batch({ size: rows }),
);

const from = stream.open();
const moments: Moment[] = [];
let [tokens, next] = [0, 0];
let late: string | null = null;
let one: Batch | undefined;
const [began, work] = [performance.now(), processorSeconds()];
const note = (): void => {
  const seconds = (performance.now() - began) / 1000;
  const passed = (read / lines) * bytes;
  moments.push({
    bytes: passed,
    tokens,
    seconds,
    work: processorSeconds() - work,
    resident: process.memoryUsage.rss(),
  });
};
note();
for (;;) {
  const { done, value } = await from.next();
  if (done) break;
  one ??= value;
  tokens += value.columns['ids']!.length;
  const passed = (read / lines) * bytes;
  if (passed >= next + 1e7) {
    next += 1e7;
    note();
  }
  if (late === null && read >= 0.9 * lines) late = JSON.stringify(from.cursor());
}
note();

const [resumed, resumedWork] = [performance.now(), processorSeconds()];
const again = stream.open(JSON.parse(late!));
await again.next();
const resume = { seconds: (performance.now() - resumed) / 1000, work: processorSeconds() - resumedWork };
await again.return?.();
await rm(folder, { recursive: true });

const executor = await cpu();
const adapted = attach((await loadModel(model)) as CausalLM, [lora({ rank: 8 })]);
const step = await makeTrainStep(adapted, { executor, optimizer: chain(clip(1), adamw()) });
// Documents side by side want stored scores; a row of one is what the trainer is fastest at.
const { documents: _, ...columns } = one!.columns;
const { documents: __, ...shapes } = one!.shapes;
const plain = { rows, columns, shapes };
const took: number[] = [];
for (let i = 0; i < 4; i++) {
  const start = processorSeconds();
  await step.run(i, 1e-4, [plain]);
  await step.results();
  took.push(processorSeconds() - start);
}
step.close();
await executor.close();
const training = (rows * context) / Math.min(...took.slice(1));
const pass: Pass = { lines, bytes, tokens, cut, moments, resume, trainedPerProcessorSecond: training };
console.log(JSON.stringify(pass));
