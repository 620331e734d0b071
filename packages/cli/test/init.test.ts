import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseRunConfig } from '../src/config/read.ts';
import { main } from '../src/main.ts';
import { methods } from '../src/methods.ts';
import { peftjs } from './cli.ts';

const folder = mkdtempSync(join(tmpdir(), 'peftjs-cli-'));
const before = process.cwd();
beforeAll(() => {
  process.chdir(folder);
  writeFileSync('chat.jsonl', '{"prompt":"a","completion":"b"}\n');
});
afterAll(() => {
  process.chdir(before);
  rmSync(folder, { recursive: true, force: true });
});

const written = (file: string) => parseRunConfig(readFileSync(file, 'utf8'), file);

describe('init', () => {
  test('asks nothing where nobody can answer, and takes the data file that is there', async () => {
    const { code, out, err } = await peftjs(['init', '--method', 'dora', '--quantize', 'nf4']);
    expect([code, err]).toEqual([0, '']);
    expect(out).toBe('run.yaml is written.\nNext: npx peftjs train run.yaml\n');
    expect(written('run.yaml')).toMatchObject({
      data: { train: ['chat.jsonl'] },
      method: { name: 'dora' },
      quantize: 'nf4',
      epochs: 3,
    });
    expect(await peftjs(['init'])).toMatchObject({ code: 2, err: expect.stringContaining('is there already') });
    expect((await peftjs(['init', '--force'])).code).toBe(0);
  });

  test('asks what flags do not say', async () => {
    const [input, out] = [new PassThrough(), new PassThrough()];
    Object.assign(out, { isTTY: true, columns: 80, rows: 24 });
    let shown = '';
    const answers: readonly (readonly [asked: string, keys: string])[] = [
      ['Which file', '\r'],
      ['Which model', '\r'],
      ['Which method', '\u001b[B\u001b[B\r'],
      ['How often', '\u007f5\r'],
    ];
    let next = 0;
    out.on('data', (piece: Buffer) => {
      shown += piece;
      const [asked, keys] = answers[next] ?? [];
      if (asked === undefined || !shown.includes(asked)) return;
      next++;
      setTimeout(() => input.write(keys), 100);
    });
    const err = { text: '', write: (piece: string) => void (err.text += piece) };
    const code = await main(['init', 'asked.yaml', '--quantize', 'int8'], { input, out: out as never, err });
    expect([code, err.text]).toEqual([0, '']);
    expect(written('asked.yaml')).toMatchObject({
      data: { train: ['chat.jsonl'] },
      method: { name: 'ia3' },
      quantize: 'int8',
      epochs: 5,
    });
  });

  test('writes the rate that suits the width of the base: the shipped one is narrow', async () => {
    const rate = async (method: string) => {
      await peftjs(['init', 'rate.yaml', '--method', method, '--force']);
      return written('rate.yaml').optimizer.rate;
    };
    expect(await rate('ia3')).toBe(methods.get('ia3')!.narrowRate);
    expect(await rate('lora')).toBe(0.012);
    expect(methods.get('ia3')!.narrowRate).not.toBe(methods.get('ia3')!.learningRate);
  });

  test('writes nothing that is no sound run', async () => {
    expect(await peftjs(['init', 'x.yaml', '--data', 'none.jsonl'])).toMatchObject({
      code: 2,
      err: expect.stringContaining('no such file'),
    });
    expect(await peftjs(['init', 'x.yaml', '--method', 'lroa'])).toMatchObject({
      code: 2,
      err: expect.stringContaining('did you mean lora?'),
    });
    expect(await peftjs(['init', 'x.yaml', '--model', 'none'])).toMatchObject({
      code: 2,
      err: expect.stringContaining('no folder of a model'),
    });
    expect(await peftjs(['init', 'x.yaml', '--epochs', 'many'])).toMatchObject({ code: 2 });
  });
});
