import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { baseModelDir } from '@peftjs/base-model';
import { attach, save } from '@peftjs/core';
import { filesAt } from '@peftjs/io';
import { lora } from '@peftjs/lora';
import { reference } from '@peftjs/tensor';
import { causalLM, loadModel } from '@peftjs/transformer';
import { afterAll, describe, expect, test } from 'vitest';
import { loadTask } from '../src/base.ts';
import { methods } from '../src/methods.ts';
import { peftjs } from './cli.ts';

const folder = mkdtempSync(join(tmpdir(), 'peftjs-cli-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const json = async (...args: string[]): Promise<Record<string, unknown>> => {
  const { code, out, err } = await peftjs([...args, '--json']);
  expect(err).toBe('');
  expect(code).toBe(0);
  return JSON.parse(out);
};

describe('the command', () => {
  test('lists what it can do, and says how to go on where nothing is asked for', async () => {
    expect(await peftjs(['--version'])).toMatchObject({ code: 0, out: expect.stringMatching(/^\d+\.\d+\.\d+\n$/) });
    const help = await peftjs(['--help']);
    expect(help.code).toBe(0);
    expect(help.out).toMatch(/methods.*inspect.*doctor.*Exit codes: 0 done/s);
    expect((await peftjs([])).code).toBe(2);
  });

  test('wraps its help at the width of the terminal', async () => {
    const { out } = await peftjs(['--help'], { columns: 60 });
    expect(Math.max(...out.split('\n').map((line) => line.length))).toBeLessThanOrEqual(90);
  });

  test('ends with 2 and a hint for what there is not', async () => {
    expect(await peftjs(['tran'])).toMatchObject({
      code: 2,
      out: '',
      err: expect.stringContaining("unknown command 'tran'"),
    });
    expect(await peftjs(['methods', 'lroa'])).toMatchObject({
      code: 2,
      err: expect.stringContaining('did you mean lora?'),
    });
    const { code, out } = await peftjs(['methods', 'lroa', '--json']);
    expect([code, JSON.parse(out)]).toEqual([
      2,
      { error: { code: 'bad-option', message: expect.stringContaining('lroa') } },
    ]);
  });
});

describe('methods', () => {
  test('are all that the families export', async () => {
    const { out } = await peftjs(['methods']);
    expect(out.trimEnd().split('\n')).toHaveLength(methods.size);
    expect(out).toMatch(/^ia3 +.*\(2022\)$/m);
  });

  test('tell their options and their paper', async () => {
    expect(await json('methods', 'dora')).toMatchObject({
      name: 'dora',
      merges: true,
      paper: { url: 'https://arxiv.org/abs/2402.09353' },
      options: { rank: 'a whole number of at least 1' },
    });
  });
});

describe('inspect', () => {
  test('tells the sizes of a model', async () => {
    expect(await json('inspect', baseModelDir())).toMatchObject({
      kind: 'model',
      type: 'llama',
      layers: 4,
      vocabSize: 4096,
      parameters: 4096 * 256 + 4 * (2 * 256 * 256 + 2 * 128 * 256 + 3 * 576 * 256 + 2 * 256) + 256,
    });
  });

  test('reads folders that are quantised already, as runs do', async () => {
    const data = fileURLToPath(new URL('../../../tools/golden/data', import.meta.url));
    const of = async (name: string) => ({ name, path: join(data, name), files: await filesAt(join(data, name)) });
    const folders = { 'quantized/bnb-nf4': 7, 'quantized/gptq-4': 7, 'quantized/awq': 7, 'mxfp4/model': 10 };
    for (const [name, layers] of Object.entries(folders)) {
      // The head is one of them.
      expect(await json('inspect', join(data, name))).toMatchObject({ kind: 'model', linearLayers: layers + 1 });
      const { linears } = await loadTask(await of(name), {}, causalLM());
      expect(linears.size).toBe(layers + 1);
    }
    await expect(loadTask(await of('quantized/awq'), { quantize: 'nf4' }, causalLM())).rejects.toThrow(
      /awq: is quantised already, by awq; leave quantize out/,
    );
    const { linears } = await loadTask(await of('mxfp4/model'), { quantize: 'nf4' }, causalLM());
    expect(linears.size).toBe(11);
  });

  test('tells the method, the base and the tensors of an adapter', async () => {
    const dir = join(folder, 'adapter');
    await save(attach(await loadModel(baseModelDir()), [lora({ rank: 2 })]), dir, {
      executor: reference(),
      baseModel: 'somewhere',
    });
    const facts = await json('inspect', dir);
    expect(facts).toMatchObject({ kind: 'adapter', method: 'LORA', base: 'somewhere', config: { r: 2 } });
    expect(Object.keys(facts['tensors'] as object)).toContain(
      'base_model.model.model.layers.*.self_attn.q_proj.lora_A.weight',
    );
  });

  test('tells the head that the adapters library keeps beside an adapter, or alone', async () => {
    const at = (name: string): string =>
      fileURLToPath(new URL(`../../../tools/golden/data/python/families/bert-sequence/${name}`, import.meta.url));
    const classes = ['ham', 'spam', 'eggs'];
    const own = { class: 'BertAdapterModel', type: 'bert', head: 'classification', classes, fields: { layers: 2 } };
    expect(await json('inspect', at('hub-stack/adapter'))).toMatchObject({ kind: 'adapter', head: own });
    expect(await json('inspect', at('hub-stack/head'))).toMatchObject({ kind: 'head', ...own });
    const { head } = await json('inspect', at('hub-lora/adapter'));
    expect(head).toMatchObject({ class: 'BertForSequenceClassification', classes: ['LABEL_0', 'LABEL_1', 'LABEL_2'] });
    expect(await json('inspect', at('lora/adapter'))).not.toHaveProperty('head');
  });

  test('counts the examples of a data file and their fields', async () => {
    const file = join(folder, 'pairs.jsonl');
    writeFileSync(file, '{"prompt":"a","completion":"b"}\n{"prompt":"c","completion":"d","id":3}\n');
    expect(await json('inspect', file)).toMatchObject({
      kind: 'data',
      examples: 2,
      fields: { prompt: 2, completion: 2, id: 1 },
    });
    const { out } = await peftjs(['inspect', file]);
    expect(out).toContain('examples: 2\n');
  });

  test('counts the rows of tables, packed ones too', async () => {
    const file = join(folder, 'table.csv.gz');
    writeFileSync(file, gzipSync('question,answer\n"Who, then?",Ahab\nWhat?,"A ""whale"""\n'));
    expect(await json('inspect', file)).toMatchObject({
      kind: 'data',
      examples: 2,
      fields: { question: 2, answer: 2 },
      first: '{"question":"Who, then?","answer":"Ahab"}',
    });
    const parquet = fileURLToPath(new URL('../../../tools/golden/data/data/snappy.parquet', import.meta.url));
    const { kind, examples, fields } = await json('inspect', parquet);
    expect([kind, examples]).toEqual(['data', expect.any(Number)]);
    expect(Object.values(fields as Record<string, number>)).toContain(examples);
  });

  test('says what it does not know', async () => {
    expect(await peftjs(['inspect', join(folder, 'none')])).toMatchObject({
      code: 2,
      err: expect.stringContaining('no such file'),
    });
    expect(await peftjs(['inspect', folder])).toMatchObject({
      code: 2,
      err: expect.stringContaining('no run, no adapter, no head and no model'),
    });
  });
});

test('doctor finds the CPU and tells what is not there', async () => {
  const findings = (await json('doctor')) as unknown as { name: string; state: string; found: string }[];
  const state = (name: string) => findings.find((one) => one.name === name)?.state;
  expect(state('CPU')).toBe('good');
  expect(state('Node')).toBe('good');
  expect(['good', 'missing']).toContain(state('GPU'));
});
