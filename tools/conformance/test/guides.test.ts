import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { baseModelDir } from '@peftjs/base-model';
import { attach, save } from '@peftjs/core';
import { lora } from '@peftjs/lora';
import { reference } from '@peftjs/tensor';
import { loadModel } from '@peftjs/transformer';
import { expect, test } from 'vitest';
import { type Running, runScript } from './run-script.ts';

const root = join(import.meta.dirname, '../../..');
const guides = join(root, 'docs/guides');

/** The scripts of a guide. */
const scriptsOf = async (guide: string): Promise<string[]> =>
  [...(await readFile(join(guides, guide), 'utf8')).matchAll(/```ts\n([^]*?)```/g)].map(([, code]) => code!);

/** Runs a script of a guide, the first one if not told otherwise, beside the files that it names. */
const run = async (guide: string, prepare?: (folder: string) => Promise<unknown>, script = 0): Promise<Running> =>
  runScript((await scriptsOf(guide))[script]!, [], prepare);

const people = ['Ishmael', 'Queequeg', 'Starbuck', 'Stubb', 'Flask', 'Tashtego', 'Pip', 'Peleg'];

/** Questions with answers, as a file of lines. */
const asked = (line: (question: string, answer: string) => object): string =>
  [
    ...people.map((name) => line(`Who is ${name}?`, `${name} is one of them.`)),
    line('Who tells the story?', 'Ishmael does.'),
  ]
    .map((value) => `${JSON.stringify(value)}\n`)
    .join('');

test.each<readonly [what: string, script: number, file: string, content: string, answer: RegExp, saved: string]>([
  ['completions', 0, 'pairs.jsonl', asked((question, answer) => ({ question, answer })), /Ishmael/, 'my-adapter'],
  [
    'conversations',
    1,
    'chats.jsonl',
    asked((question, answer) => ({
      messages: [
        { role: 'user', content: question },
        { role: 'assistant', content: answer },
      ],
    })),
    /Ishmael/,
    'my-adapter',
  ],
  [
    'labels',
    2,
    'reviews.csv',
    `text,label\n${['book', 'tale', 'ship', 'meal'].flatMap((it) => [`a fine ${it},good`, `a poor ${it},bad`]).join('\n')}\n`,
    /^good$/,
    'my-classifier',
  ],
])(
  'own data: %s are learnt, by fewer than 25 lines',
  async (_, script, file, content, answer, saved) => {
    const code = (await scriptsOf('own-data.md'))[script]!;
    expect(
      code
        .trim()
        .split('\n')
        .filter((line) => line !== '').length,
    ).toBeLessThan(25);
    const { folder, output } = await run('own-data.md', (dir) => writeFile(join(dir, file), content), script);
    expect((await output).trim()).toMatch(answer);
    expect(await readdir(join(folder, saved))).toContain('adapter_model.safetensors');
  },
  300_000,
);

test('own loop: a loss that has fallen', async () => {
  const { output } = await run('own-loop.md');
  expect(Number.parseFloat(await output)).toBeLessThan(4);
}, 300_000);

test('preferences: the chosen answers become likelier than the rejected ones, and the model earns rewards', async () => {
  const lines = people.slice(0, 4).map((name) => ({
    prompt: `Question: Who is ${name}?\nAnswer:`,
    chosen: ` ${name} is one of them.`,
    rejected: ' I do not know.',
  }));
  const { output } = await run('preferences.md', (dir) =>
    writeFile(join(dir, 'preferences.jsonl'), lines.map((line) => `${JSON.stringify(line)}\n`).join('')),
  );
  const [margins, ...rewards] = (await output).trim().split('\n');
  const [before, after] = margins!.match(/-?\d+\.\d+/g)!.map(Number);
  expect(before).toBe(0);
  expect(after).toBeGreaterThan(0.2);
  expect(rewards).toHaveLength(4);
  for (const line of rewards) expect(line).toMatch(/^GRPO: step \d, reward \d+\.\d\d$/);
}, 300_000);

/** Saves an adapter that changes what the model says. */
const withAdapter = async (dir: string): Promise<void> => {
  const adapted = attach(await loadModel(baseModelDir()), [lora({ rank: 2 })]);
  const executor = reference();
  for (const p of adapted.params.values())
    await executor.write(p, new Float32Array(p.shape.reduce((n, d) => n * d, 1)).fill(0.05));
  await save(adapted, join(dir, 'my-adapter'), { executor });
};

test('serving: streams with and without the adapter, takes a new version, and ends when told to', async () => {
  const served = await run('serving.md', withAdapter);
  const url = new URL(await served.firstLine);
  const text = async (change: Record<string, string>, path = '/'): Promise<string> => {
    const to = new URL(url);
    to.pathname = path;
    for (const [name, value] of Object.entries(change)) to.searchParams.set(name, value);
    return (await fetch(to, { headers: { connection: 'close' } })).text();
  };
  const [base, tuned] = [await text({ adapter: 'none' }), await text({})];
  expect(base.length).toBeGreaterThan(10);
  expect(tuned).not.toBe(base);
  expect(await text({}, '/update')).toBe('updated\n');
  expect(await text({})).toBe(tuned);
  served.end();
  await served.output;
}, 300_000);

test('export: ONNX Runtime alone continues the prompt', async () => {
  const { folder, output } = await run('export.md', withAdapter);
  expect(await output).toMatch(/^The sea was \S+ \S+ \S+/);
  expect((await readdir(folder, { recursive: true })).sort()).toEqual(
    expect.arrayContaining(['exported/config.json', 'exported/onnx/model.onnx', 'exported/tokenizer.json']),
  );
}, 300_000);

test('browser: the shared code is the one that is tested in a browser', async () => {
  const shared = await readFile(join(root, 'examples/browser/fine-tune.js'), 'utf8');
  expect(await readFile(join(guides, 'browser.md'), 'utf8')).toContain(`\`\`\`js\n${shared}\`\`\``);
});

test('every guide is tested here', async () => {
  const own = await readFile(import.meta.filename, 'utf8');
  for (const guide of await readdir(guides)) expect(own).toContain(guide);
});
