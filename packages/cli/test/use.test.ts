import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { baseModelDir } from '@peftjs/base-model';
import { loadGguf } from '@peftjs/gguf';
import { loadTokenizer, readAdapter } from '@peftjs/io';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { type Called, peftjs } from './cli.ts';

const folder = mkdtempSync(join(tmpdir(), 'peftjs-cli-'));
const before = process.cwd();
afterAll(() => {
  process.chdir(before);
  rmSync(folder, { recursive: true, force: true });
});

const onCpu = ['--device', 'cpu'];
const data = join(folder, 'chat.jsonl');
let run: string;

const done = async (called: Promise<Called>): Promise<string> => {
  const { code, out, err } = await called;
  expect(code, err).toBe(0);
  return out;
};
const json = async (...args: string[]): Promise<Record<string, unknown>> =>
  JSON.parse(await done(peftjs([...args, ...onCpu, '--json'])));

beforeAll(async () => {
  process.chdir(folder);
  const rows = Array.from({ length: 12 }, () => ({
    messages: [
      { role: 'user', content: 'Who hunts the whale?' },
      { role: 'assistant', content: 'Captain Ahab hunts it.' },
    ],
  }));
  writeFileSync(data, rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
  const flags = ['--data', data, '--data.held-out', '0', '--steps', '30', '--batch-size', '2'];
  run = (await json('train', ...flags))['dir'] as string;
});

const said = (text: string, ...args: string[]) => peftjs(['chat', ...args, ...onCpu], { input: Readable.from([text]) });

test('models, adapters and their bases are found on the hub, here in its cache', async () => {
  const [cache, commit] = [join(folder, 'hub'), 'c'.repeat(40)];
  const keep = (repo: string, dir: string): string => {
    const snapshot = join(cache, repo, 'snapshots', commit);
    mkdirSync(snapshot, { recursive: true });
    mkdirSync(join(cache, repo, 'refs'));
    writeFileSync(join(cache, repo, 'refs', 'main'), commit);
    for (const name of readdirSync(dir)) symlinkSync(join(dir, name), join(snapshot, name));
    return snapshot;
  };
  keep('models--org--base', baseModelDir());
  const config = join(keep('models--me--tuned', join(run, 'adapter')), 'adapter_config.json');
  const of = (base: string): void => {
    const own = JSON.parse(readFileSync(config, 'utf8'));
    rmSync(config);
    writeFileSync(config, JSON.stringify({ ...own, base_model_name_or_path: base }));
  };
  vi.stubEnv('HF_HUB_CACHE', cache);
  vi.stubEnv('HF_HUB_OFFLINE', '1');
  try {
    of('org/base');
    const asked = ['generate', 'hub:me/tuned', '--message', 'Who hunts the whale?'];
    expect(await json(...asked)).toMatchObject({ text: 'Captain Ahab hunts it.' });
    const base = JSON.parse(await done(peftjs(['inspect', 'hub:org/base', '--json'])));
    expect(base).toMatchObject({ kind: 'model', type: 'llama' });
    of('org/none');
    const { code, err } = await peftjs([...asked, ...onCpu]);
    expect(code).not.toBe(0);
    expect(err).toContain(
      'its base is org/none, which is no folder here, and from the hub it does not come: hub:org/none',
    );
  } finally {
    vi.unstubAllEnvs();
  }
});

describe('chat', () => {
  test('answers by the newest run as it has learnt', async () => {
    expect(await done(said('Who hunts the whale?\n'))).toBe('Captain Ahab hunts it.\n');
  });

  test('switches adapters, and loads others', async () => {
    const lines = [
      '/adapter none',
      'Who hunts the whale?',
      '/reset',
      `/load ${run}`,
      'Who hunts the whale?',
      '/exit',
      'never',
    ];
    const { code, out, err } = await said(`${lines.join('\n')}\n`, run, '--max-tokens', '12');
    expect(code, err).toBe(0);
    expect(err).toContain('Answers by the base.\n');
    const [base, tuned] = out.trimEnd().split(/\n(?=[^\n]*$)/);
    expect(base).not.toContain('Ahab hunts');
    expect(tuned).toBe('Captain Ahab hunts it.');
  });

  test('says what there is not, and leaves out the oldest turns of a long conversation', async () => {
    const long = `${'the sea '.repeat(60).trim()}`;
    const { code, err } = await said(`/adaptor x\n/adapter x\n${long}\n${long}\n${long}\n`, run, '--max-tokens', '4');
    expect(code, err).toBe(0);
    expect(err).toContain('There is no /adaptor.');
    expect(err).toContain('There is no adapter x');
    expect(err).toContain('The oldest 2 messages were left out: the model takes 256 tokens.');
  });
});

describe('generate', () => {
  test('answers a message, and continues a text', async () => {
    expect(await json('generate', run, '--message', 'Who hunts the whale?')).toMatchObject({
      text: 'Captain Ahab hunts it.',
    });
    const text = await done(
      peftjs(['generate', run, '--prompt', 'User: Who hunts the whale?\nAssistant: Captain', ...onCpu]),
    );
    expect(text).toBe(' Ahab hunts it.\n');
  });

  test('draws by the seed, and stops where it is told', async () => {
    const drawn = (...more: string[]) =>
      json(
        'generate',
        '--model',
        '@peftjs/base-model',
        '--prompt',
        'It was',
        '--max-tokens',
        '12',
        '--temperature',
        '1',
        ...more,
      );
    const [a, b, c] = [await drawn('--seed', '1'), await drawn('--seed', '1'), await drawn('--seed', '2')];
    expect(a).toEqual(b);
    expect(a['text']).not.toBe(c['text']);
    const stop = (a['text'] as string).slice(3, 6);
    expect((await drawn('--seed', '1', '--stop', stop))['text']).toBe((a['text'] as string).split(stop)[0]);
  });

  test('refuses what it can not do', async () => {
    expect(await peftjs(['generate', run])).toMatchObject({ code: 2, err: expect.stringContaining('--prompt') });
    expect(await peftjs(['generate', run, '--prompt', 'a', '--temperature', 'hot'])).toMatchObject({
      code: 2,
      err: expect.stringContaining('--temperature is hot'),
    });
    expect(await peftjs(['generate', run, '--prompt', 'a', '--quantize', 'nf5'])).toMatchObject({
      code: 2,
      err: expect.stringContaining('nf4'),
    });
  });
});

test('evaluate measures the adapter and the base', async () => {
  const { loss, baseLoss, tokens, examples } = await json('evaluate', run, '--data', data);
  expect(examples).toBe(12);
  const tokenizer = await loadTokenizer(baseModelDir());
  expect(tokens).toBe(12 * (tokenizer.encode(' Captain Ahab hunts it.').length + 1));
  expect(loss as number).toBeLessThan(0.1);
  expect(baseLoss as number).toBeGreaterThan(2);
});

describe('files for others', () => {
  test('merge writes a model that answers as the adapter does', async () => {
    const out = join(folder, 'merged');
    await json('merge', run, out, '--dtype', 'f32');
    expect(readdirSync(out)).toEqual(
      expect.arrayContaining(['config.json', 'model.safetensors', 'tokenizer.json', 'chat_template.jinja']),
    );
    expect(await json('generate', out, '--message', 'Who hunts the whale?')).toMatchObject({
      text: 'Captain Ahab hunts it.',
    });
    const link = join(folder, 'merged-too');
    symlinkSync(out, link);
    const over = await peftjs(['merge', run, link, '--model', out, ...onCpu]);
    expect(over).toMatchObject({ code: 2, err: expect.stringContaining('merged-too is what is read') });
  });

  test('export writes GGUF and ONNX', async () => {
    const [gguf, onnx] = [join(folder, 'model.gguf'), join(folder, 'onnx')];
    await json('export', run, gguf, '--to', 'gguf', '--storage', 'Q8_0');
    expect((await loadGguf(gguf)).config.layers).toBe(4);
    expect(await json('generate', gguf, '--prompt', 'User: Who hunts the whale?\nAssistant: Captain')).toMatchObject({
      text: ' Ahab hunts it.',
    });
    await json('export', run, onnx, '--to', 'onnx');
    expect(existsSync(join(onnx, 'onnx/model.onnx')) || readdirSync(onnx).some((name) => name.endsWith('.onnx'))).toBe(
      true,
    );
    expect(await peftjs(['export', run, gguf, '--to', 'pickle'])).toMatchObject({ code: 2 });
  });

  test('combine adds adapters, and convert writes one anew', async () => {
    const [both, copy] = [join(folder, 'both'), join(folder, 'copy')];
    await json('combine', run, join(run, 'adapter'), '--weights', '0.5,0.5', '--out', both);
    expect(await json('generate', both, '--message', 'Who hunts the whale?')).toMatchObject({
      text: 'Captain Ahab hunts it.',
    });
    await json('convert', run, copy);
    const [own, old] = [await readAdapter(copy), await readAdapter(join(run, 'adapter'))];
    expect([...own.tensors.keys()]).toEqual([...old.tensors.keys()]);
    expect(readFileSync(join(copy, 'adapter_config.json'), 'utf8')).toContain(
      '"base_model_name_or_path": "@peftjs/base-model"',
    );
    expect(await peftjs(['combine', run, '--out', both])).toMatchObject({
      code: 2,
      err: expect.stringContaining('two adapters'),
    });
  });
});
