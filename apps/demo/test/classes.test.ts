import { cp, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { baseEncoderDir } from '@peftjs/base-encoder';
import { baseVitDir } from '@peftjs/base-vit';
import { load } from '@peftjs/core';
import { lora } from '@peftjs/lora';
import { reference } from '@peftjs/tensor';
import {
  buildModel,
  imageClassifier,
  loadConfig,
  loadModel,
  type ModernBertConfig,
  maskedLM,
  randomWeights,
  saveModel,
  sequenceClassifier,
  type VitConfig,
} from '@peftjs/transformer';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { wordsOf } from '../src/classes/mails.ts';
import { type Run, runDemoCli } from './cli.ts';

let work = '';
beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'peftjs-classes-'));
  const [encoder, vit] = [await loadConfig(baseEncoderDir()), await loadConfig(baseVitDir())];
  const small = { hiddenSize: 16, intermediateSize: 16, layers: 1, heads: 2 };
  const tinyEncoder = {
    ...(encoder as ModernBertConfig),
    ...small,
    headDim: 8,
    layerTypes: ['full_attention'],
  } as ModernBertConfig;
  const tinyVit: VitConfig = { ...(vit as VitConfig), ...small };
  const save = { executor: reference() };
  await saveModel(buildModel(tinyEncoder, randomWeights(tinyEncoder, 0, maskedLM()), maskedLM()), encoderDir(), save);
  const seven = imageClassifier({ labels: 7 });
  await saveModel(buildModel(tinyVit, randomWeights(tinyVit, 0, seven), seven), vitDir(), save);
  for (const name of ['tokenizer.json', 'tokenizer_config.json'])
    await cp(join(baseEncoderDir(), name), join(encoderDir(), name));
  await cp(join(baseVitDir(), 'preprocessor_config.json'), join(vitDir(), 'preprocessor_config.json'));
});
afterAll(() => rm(work, { recursive: true }));

const encoderDir = (): string => join(work, 'encoder');
const vitDir = (): string => join(work, 'vit');

test('stopped while either is trained, the same command goes on and ends with what an undisturbed run gives', async () => {
  const args = [
    '--task',
    'image',
    '--model',
    vitDir(),
    '--shots',
    '2',
    '--steps',
    '5',
    '--rank',
    '2',
    '--device',
    'cpu',
  ];
  const run = (out: string, ...how: Parameters<typeof runDemoCli>[1][]): Promise<Run> =>
    runDemoCli([...args, '--json', '--out', join(work, out)], ...how);
  const lossesOf = async ({ code, stdout, stderr }: Run): Promise<unknown> => {
    expect({ code, stderr }).toMatchObject({ code: 0 });
    const { losses, probeAccuracy } = JSON.parse(stdout.trimEnd().split('\n').at(-1)!);
    return [JSON.parse(await readFile(losses, 'utf8')), probeAccuracy];
  };
  const cutAt = (moment: RegExp): Promise<Run> => {
    let isSent = false;
    return run('cut', (seen, kill) => {
      if (isSent || !moment.test(seen)) return;
      isSent = true;
      kill('SIGINT');
    });
  };
  const whole = await lossesOf(await run('whole'));
  for (const moment of [/the head alone {2}step 2\//, /LoRA of rank 2 {2}step 2\//]) {
    const { code, stderr } = await cutAt(moment);
    expect(code).toBe(130);
    expect(stderr).toMatch(/Stopped after step [2-4] of 5, which are kept: the same command goes on from there\.\n$/);
  }
  const again = await run('cut');
  expect(await lossesOf(again)).toEqual(whole);
  expect(Number(/LoRA of rank 2 {2}step (\d)/.exec(again.stderr)![1])).toBeGreaterThan(1);
  expect((await readdir(join(work, 'cut'))).filter((name) => name.startsWith('unfinished'))).toEqual([]);
}, 120_000);

describe('the demo tells classes apart', () => {
  test.each([
    ['image', vitDir, ['--shots', '2'], imageClassifier({ labels: ['coat', 'pullover', 'shirt'] }), 'data:image/png'],
    ['classify', encoderDir, [], sequenceClassifier({ labels: ['not spam', 'spam'] }), 'not spam ('],
  ] as const)(
    '%s, with an adapter that loads again, and a report with examples',
    async (task, dir, more, wanted, shown) => {
      const args = ['--task', task, '--model', dir(), '--steps', '2', '--rank', '2', '--device', 'cpu', ...more];
      const { code, stdout, stderr } = await runDemoCli([...args, '--json', '--out', join(work, `out-${task}`)]);
      expect({ code, stderr }).toMatchObject({ code: 0 });
      const result = JSON.parse(stdout.trimEnd().split('\n').at(-1)!);
      expect(result).toMatchObject({ task, method: 'lora', device: 'cpu', classes: wanted.labels, fullAccuracy: null });
      expect(result.accuracy).toBeGreaterThan(0);
      expect(result.examples).toBe(task === 'image' ? 6 : 1200 - result.tests);
      const again = await load(await loadModel(dir(), { task: wanted, newHead: true }), result.adapterDir, [lora]);
      expect([...again.params.keys()].some((name) => name.startsWith('classifier'))).toBe(true);
      const html = await readFile(result.report, 'utf8');
      expect(html).toContain(shown);
      expect(html.match(/<figure/g)).toHaveLength(24);
      const right = html.match(/<small>right<\/small>/g)?.length ?? 0;
      const all = `Of all ${result.tests}: ${Math.round(result.accuracy * result.tests)} right`;
      expect(html).toContain(
        `24 of the ${result.tests} held-out ${task === 'image' ? 'pictures' : 'mails'}, drawn by the seed: ${right} right`,
      );
      expect(html).toContain(all);
      expect(stdout).toContain(all);
      expect(html).toContain('loss, nats per example');
      expect(html).not.toMatch(/(?:src|href)=["']?https?:/);
    },
  );

  test.each([
    [['--task', 'classify', '--shots', '3', '--quantize', 'nf4'], /--task classify takes no --quantize, --shots/],
    [['--shots', '3'], /--task text takes no --shots/],
  ])('%j is refused', async (args, message) => {
    const { code, stdout, stderr } = await runDemoCli(args);
    expect({ code, stdout, stderr }).toMatchObject({ code: 1, stdout: '', stderr: expect.stringMatching(message) });
  });
});

test('of a mail the subject and the words are left', () => {
  const raw =
    'From: a@b\r\nSubject: Hello there\r\nX-Spam: yes\r\n\r\n<p>Dear friend,</p>\r\n> quoted\r\nsee http://x.y/z now=20\r\n';
  expect(wordsOf(raw)).toBe('Hello there. Dear friend, see now');
});
