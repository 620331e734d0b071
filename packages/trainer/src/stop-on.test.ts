import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { attach } from '@peftjs/core';
import { lora } from '@peftjs/lora';
import { reference } from '@peftjs/tensor';
import { tinyLlama } from '@peftjs/transformer/testing';
import { afterEach, expect, test, vi } from 'vitest';
import { packTokens, progressLine, train } from './index.ts';
import type { ProgressStream } from './progress.ts';
import { watchSignals } from './stop-on.ts';

const exitCode = process.exitCode;
afterEach(() => {
  vi.unstubAllGlobals();
  process.exitCode = exitCode;
});

/** A terminal that takes in all that is written; its lines are what one sees, the last one where the cursor stands. */
const terminal = (): ProgressStream & { readonly lines: () => string[] } => {
  let text = '';
  return {
    isTTY: true,
    columns: 60,
    write: (more) => (text += more),
    lines: () =>
      text.split('\n').map((line) =>
        line.split('\r').reduce((seen, part) => {
          const [shown = '', cleared] = part.split('\u001b[K');
          return cleared === undefined ? shown + seen.slice(shown.length) : shown + cleared;
        }, ''),
      ),
  };
};

/** A run that is stopped while its third step is told. */
const stoppedRun = async (stream: ProgressStream, stop: () => void): Promise<void> => {
  const abort = new AbortController();
  const line = progressLine({ stream, peakBytes: () => 0 });
  await train(attach(tinyLlama(), [lora({ rank: 2 })]), {
    executor: reference(),
    data: packTokens([Array.from({ length: 60 }, (_, i) => (i * 7) % 12)], { context: 6, endOfText: 12 }),
    steps: 8,
    batchSize: 2,
    // The schedule is asked in the midst of a step.
    schedule: (step) => {
      if (step === 2) [stop(), abort.abort()];
      return 0.01;
    },
    signal: abort.signal,
    onStep: line,
  });
};

test('on a terminal the words at a signal have lines of their own, and so has what comes after the run', async () => {
  const screen = terminal();
  const watch = watchSignals(['SIGINT'], true, screen);
  await stoppedRun(screen, () => process.emit('SIGINT', 'SIGINT'));
  expect([watch.caught(), process.exitCode]).toEqual(['SIGINT', 130]);
  expect(screen.lines()).toEqual([
    expect.stringMatching(/^step 2\/8 {2}loss \d/),
    'SIGINT: the run ends after this step and keeps its state.',
    'A second one ends it at once.',
    expect.stringMatching(/^step 3\/8 {2}loss \d.* {2}stopped/),
    '',
  ]);
});

test('a run that is stopped without a word ends its line too', async () => {
  const screen = terminal();
  await stoppedRun(screen, () => {});
  expect(screen.lines()).toEqual([expect.stringMatching(/^step 3\/8/), '']);
});

test('where there is no process, as in a page, a run that listens for nothing is none the worse', () => {
  vi.stubGlobal('process', undefined);
  expect(watchSignals([], true).caught()).toBeNull();
});

test('after the first signal, and after the end, nobody listens', () => {
  const before = process.listenerCount('SIGTERM');
  const watch = watchSignals(['SIGINT', 'SIGTERM'], false, terminal());
  expect(process.listenerCount('SIGTERM')).toBe(before + 1);
  watch.end();
  expect(process.listenerCount('SIGTERM')).toBe(before);
});

const script = join(import.meta.dirname, '../tools/train-slowly.ts');

test.each(['SIGINT', 'SIGTERM'] as const)(
  'a second %s ends the process at once, in the midst of a step',
  async (signal) => {
    const file = join(tmpdir(), `peftjs-stop-${process.pid}-${signal}.safetensors`);
    // Each step takes an hour.
    const child = spawn(process.execPath, ['--conditions=@peftjs/source', '--import', 'tsx', script, file, '3600000'], {
      cwd: join(import.meta.dirname, '..'),
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const closed = once(child, 'close');
    await once(child.stdout, 'data');
    child.kill(signal);
    await once(child.stderr, 'data');
    // The first one alone ends nothing before the step does.
    expect(await Promise.race([closed, new Promise((done) => setTimeout(done, 300, 'runs'))])).toBe('runs');
    const sent = performance.now();
    child.kill(signal);
    // A shell shows the end by a signal as 128 and its number: 130, 143.
    expect(await closed).toEqual([null, signal]);
    expect(performance.now() - sent).toBeLessThan(1000);
    const left = (await readdir(tmpdir())).filter((name) => name.startsWith(`peftjs-stop-${process.pid}-${signal}`));
    expect(left, 'the state of a step that has not ended').toEqual([]);
    await rm(file, { force: true });
  },
);
