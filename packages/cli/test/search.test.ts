import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parse } from 'yaml';
import { peftjs } from './cli.ts';

const folder = mkdtempSync(join(tmpdir(), 'peftjs-search-'));
const before = process.cwd();
beforeAll(() => {
  process.chdir(folder);
  const rows = Array.from({ length: 16 }, (_, i) => ({ prompt: `Who hunts whale ${i}?`, completion: ' Ahab.' }));
  writeFileSync('pairs.jsonl', rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
});
afterAll(() => {
  process.chdir(before);
  rmSync(folder, { recursive: true, force: true });
});

const args = (to: string, ...more: string[]): string[] => [
  'search',
  ...['--data', 'pairs.jsonl', '--data.as', 'text', '--data.held-out', '0.2', '--steps', '4', '--batch-size', '2'],
  ...['--device', 'cpu', '--methods', 'lora,ia3', '--rates', '1', '--ranks', '2,4'],
  ...['--factor', '2', '--rungs', '2', '--folder', to],
  ...more,
];

const kept = (to: string) =>
  readFileSync(join(to, 'trials.jsonl'), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));

test('a search ends with the best adapter and its YAML; one that was killed goes on to the same', async () => {
  const { code, out, err } = await peftjs([...args('whole'), '--json']);
  expect(code, err).toBe(0);
  const found = JSON.parse(out);
  // Two ranks of LoRA and none of IA3: three candidates, of which one is a whole run.
  expect(found.trials.map(({ point }: { point: { steps: number } }) => point.steps)).toEqual([2, 2, 2, 4]);
  const last = found.trials.slice(3).map(({ loss }: { loss: number }) => loss);
  expect(found.best.loss).toBe(Math.min(...last));
  expect(existsSync(join('whole', 'adapter', 'adapter_model.safetensors'))).toBe(true);
  expect(parse(readFileSync(join('whole', 'best.yaml'), 'utf8'))).toMatchObject({
    steps: 4,
    method: { name: found.best.point.method },
  });
  expect(readdirSync(join('whole', 'runs'))).toHaveLength(1);
  expect(readFileSync(join('whole', 'search.html'), 'utf8')).toMatch(/<svg [^]*<th>candidate<\/th>/);

  // Killed while a line was written: after the second trial, in the third.
  const lines = readFileSync(join('whole', 'trials.jsonl'), 'utf8').split('\n');
  writeFileSync(join('whole', 'trials.jsonl'), `${lines.slice(0, 2).join('\n')}\n${lines[2]!.slice(0, 20)}`);
  rmSync(join('whole', 'adapter'), { recursive: true });
  const again = await peftjs(args('whole'), { columns: 100 });
  expect(again.code, again.err).toBe(0);
  expect(again.err).toContain('Goes on after 2 trials.');
  expect(kept('whole')).toEqual(found.trials);
  expect(again.out).toMatch(/^candidate +loss +steps +rank +rate +trained\n(?:lora|ia3)-/);

  // Ended in the last rung: the adapter of its run is evaluated as any other.
  const measured = await peftjs(['evaluate', join('whole', 'adapter'), '--data', 'pairs.jsonl', '--device', 'cpu']);
  expect(measured.code, measured.err).toBe(0);
});

test('a folder of another search is left alone, and choices that there are not are told', async () => {
  expect(await peftjs(args('x', '--methods', 'lroa'))).toMatchObject({
    code: 2,
    err: expect.stringContaining('did you mean lora?'),
  });
  expect(await peftjs(args('whole', '--ranks', '8'))).toMatchObject({
    code: 2,
    err: expect.stringContaining('name another folder with --folder'),
  });
  expect(await peftjs(args('x', '--rates', '0,1'))).toMatchObject({ code: 2 });
  expect(await peftjs(args('x', '--data.held-out', '0'))).toMatchObject({
    code: 2,
    err: expect.stringContaining('nothing is held out'),
  });
});
