import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  compile,
  type Executor,
  input,
  matmul,
  randomSource,
  reference,
  uniformValues,
  variable,
} from '@peftjs/tensor';
import { mustBeNear } from '@peftjs/tensor/testing';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { openGpu } from '../device/dawn.ts';
import type { DeviceFacts } from '../kernel.ts';
import { executorOn, type WebgpuOptions, webgpu } from './executor.ts';
import type { HostOptions } from './host.ts';
import type { Answer, TuneStore } from './tuner.ts';

/** Keeps answers in memory. */
const memoryStore = (answers = new Map<string, Answer>()): TuneStore & { readonly answers: Map<string, Answer> } => ({
  answers,
  load: async () => new Map(answers),
  save: async (found) => found.forEach((answer, key) => answers.set(key, answer)),
});

/** However long it takes: a software adapter compiles slowly. */
const tuning = (store: TuneStore): HostOptions => ({ tuned: { store, budget: Number.POSITIVE_INFINITY } });

/** A program with products of two kinds, and one whose sizes are near those of another. */
const program = () => {
  const x = input('x', [40, 520]);
  const outputs = {
    plain: matmul(x, input('w', [520, 24])),
    alike: matmul(input('y', [36, 516]), input('v', [516, 24])),
    narrow: matmul(x, input('u', [3, 520]), { transposeB: true }),
  };
  const sizes = { x: 40 * 520, w: 520 * 24, y: 36 * 516, v: 516 * 24, u: 3 * 520 };
  const feeds = Object.fromEntries(
    Object.entries(sizes).map(([name, size]) => [name, uniformValues(size, -1, 1, randomSource(7, name))]),
  );
  return { outputs, feeds };
};

const opened: Executor[] = [];
afterEach(async () => {
  for (const executor of opened.splice(0)) await executor.close();
});

const open = async (options: HostOptions, facts: Partial<DeviceFacts> = {}): Promise<Executor> => {
  const gpu = await openGpu({ adapter: 'software' });
  opened.push(executorOn({ ...gpu, facts: { ...gpu.facts, ...facts } }, { poison: true, ...options }));
  return opened.at(-1)!;
};

const run = async (executor: Executor) => {
  const { outputs, feeds } = program();
  const executable = await compile({ outputs }, { executor });
  const got = await executable.run(feeds);
  executable.close();
  return got;
};

describe('autotune', () => {
  it.each([
    ['as it is', {}],
    ['as hardware', { software: false }],
  ])(
    'on the software adapter %s: times each kind of product once, keeps the answers and computes the same',
    async (_, facts) => {
      const store = memoryStore();
      const executor = await open(tuning(store), facts);
      const got = await run(executor);
      const { outputs, feeds } = program();
      const wanted = await (await compile({ outputs }, { executor: reference() })).run(feeds);
      for (const name of Object.keys(outputs)) mustBeNear(name, got[name]!, wanted[name]!, { tolerance: 1e-4 });
      expect([...store.answers.keys()].map((key) => key.split(':')[0])).toEqual([
        'matmul, 64x1024x32, batch 1, f32, f32',
        'matmul, 64x1024x4, batch 1, f32, f32 transposed',
      ]);
      for (const [key, { way }] of store.answers) expect(key.split(': ')[1]!.split(', ')).toContain(way);
    },
  );

  it('gives its memory back', async () => {
    const tuned = await open(tuning(memoryStore()));
    const fixed = await open({});
    await run(tuned);
    await run(fixed);
    expect(tuned.memory().now).toBe(fixed.memory().now);
  });

  it('takes kept answers, to the bit', async () => {
    const store = memoryStore();
    const first = await run(await open(tuning(store)));
    const save = vi.spyOn(store, 'save');
    expect(await run(await open(tuning(store)))).toEqual(first);
    expect(save).not.toHaveBeenCalled();
  });

  it('leaves fixed what there is no memory to time for', async () => {
    const store = memoryStore();
    const [w, v] = [
      variable('w', [64, 512], () => new Float32Array(64 * 512)),
      variable('v', [512, 64], () => new Float32Array(64 * 512)),
    ];
    const bytes = 4 * 2 * 64 * 512;
    const executor = await open({ ...tuning(store), memoryLimit: 1.9 * bytes });
    for (const t of [w, v]) await executor.write(t, new Float32Array(64 * 512).fill(1));
    const { y } = await (await compile({ outputs: { y: matmul(w, v) } }, { executor })).run();
    expect(y![0]).toBe(512);
    expect(store.answers.size).toBe(0);
  });
});

describe('PEFTJS_AUTOTUNE', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'peftjs-autotune-'));
    // The user's cache directory, by platform.
    for (const name of ['XDG_CACHE_HOME', 'LOCALAPPDATA', 'HOME']) vi.stubEnv(name, folder);
  });
  afterEach(async () => {
    vi.unstubAllEnvs();
    await rm(folder, { recursive: true });
  });

  /** The files that an executor on the software adapter leaves after a product. */
  const filesAfter = async (options: WebgpuOptions): Promise<string[]> => {
    opened.push(await webgpu({ adapter: 'software', ...options }));
    const y = matmul(input('x', [16, 32]), input('w', [32, 16]));
    await compile({ outputs: { y } }, { executor: opened.at(-1)! });
    return (await readdir(folder, { recursive: true })).filter((name) => name.endsWith('.json'));
  };

  it('says whether products are tuned, unless the option does', async () => {
    vi.stubEnv('PEFTJS_AUTOTUNE', undefined);
    expect(await filesAfter({})).toEqual([]);
    vi.stubEnv('PEFTJS_AUTOTUNE', 'on');
    expect(await filesAfter({ autotune: false })).toEqual([]);
    vi.stubEnv('PEFTJS_AUTOTUNE', 'off');
    expect(await filesAfter({})).toEqual([]);
    const files = await filesAfter({ autotune: true });
    expect(files).toEqual([expect.stringMatching(/autotune-[0-9a-f]{16}\.json$/)]);
    const { device, answers } = JSON.parse(await readFile(join(folder, files[0]!), 'utf8'));
    expect(device).toBe(opened.at(-1)!.description);
    expect(Object.keys(answers)).toEqual([expect.stringMatching(/^matmul, 16x32x16/)]);
  });

  it('is on or off', async () => {
    vi.stubEnv('PEFTJS_AUTOTUNE', 'yes');
    await expect(webgpu({ adapter: 'software' })).rejects.toMatchObject({
      code: 'bad-option',
      message: expect.stringContaining('"yes"'),
    });
  });
});
