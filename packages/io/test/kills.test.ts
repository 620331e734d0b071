import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf } from '@peftjs/tensor/testing';
import { expect, test } from 'vitest';
import { bundleSaver, ended, hasSaved, startSaver } from './saver-process.ts';
import { filesIn, scratch } from './scratch.ts';
import { readVersion, writeVersion } from './versions.ts';

const names = ['README.md', 'adapter_config.json', 'adapter_digest.json', 'adapter_model.safetensors'];

/** A generator of the same numbers for a seed. */
const random = (seed: number): (() => number) => {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
};

test('a save that is killed at any of its steps leaves the old adapter or the new one', async () => {
  const bundle = await bundleSaver(await scratch());
  const dir = join(await scratch(), 'adapter');
  await writeVersion(dir, 1, 100);
  const steps = Number(await ended(startSaver(bundle, dir, 2, 100, 0)));
  expect(steps).toBeGreaterThan(30);
  const seen = new Map<number, number>();
  // Every other one; `pnpm --filter @peftjs/io kills` does all of them, and many at random moments.
  const atStep = async (step: number): Promise<void> => {
    const own = join(await scratch(), 'adapter');
    await writeVersion(own, 1, 100);
    const child = startSaver(bundle, own, 2, 100, step);
    await ended(child);
    expect(child.signalCode).toBe('SIGKILL');
    const version = await readVersion(own);
    expect([1, 2]).toContain(version);
    seen.set(version, (seen.get(version) ?? 0) + 1);
    await writeVersion(own, 3, 100);
    expect(await readVersion(own)).toBe(3);
    expect(await filesIn(own)).toEqual(names);
  };
  for (let step = 2; step <= steps; step += 4)
    await Promise.all([step, step + 2].filter((one) => one <= steps).map(atStep));
  expect([...seen.keys()].sort()).toEqual([1, 2]);
}, 120_000);

test('a first save that is killed leaves nothing that counts, or the whole', async () => {
  const bundle = await bundleSaver(await scratch());
  const steps = Number(await ended(startSaver(bundle, join(await scratch(), 'adapter'), 2, 100, 0)));
  let absent = 0;
  for (let step = 3; step <= steps; step += 6) {
    const dir = join(await scratch(), 'adapter');
    await ended(startSaver(bundle, dir, 2, 100, step));
    const version = await readVersion(dir).catch((error: Error) => error.message);
    if (version !== 2) expect(version).toContain('not a whole adapter');
    if (version !== 2) absent++;
    await writeVersion(dir, 3, 100);
    expect(await filesIn(dir)).toEqual(names);
  }
  expect(absent).toBeGreaterThan(3);
}, 120_000);

test('readers see whole adapters while two processes save, and after both are killed', async () => {
  const bundle = await bundleSaver(await scratch());
  const draw = random(4);
  for (let round = 0; round < 3; round++) {
    const dir = join(await scratch(), 'adapter');
    await writeVersion(dir, 1, 20_000);
    const children = [2, 3].map((first) => startSaver(bundle, dir, first, 20_000));
    await Promise.all(children.map(hasSaved));
    const versions = new Set<number>();
    try {
      for (let i = 0; i < 12 || (versions.size < 2 && i < 1000); i++) versions.add(await readVersion(dir));
      await new Promise((wake) => setTimeout(wake, 40 * draw()));
    } finally {
      for (const child of children) child.kill('SIGKILL');
      await Promise.all(children.map(ended));
    }
    expect(versions.size).toBeGreaterThan(1);
    expect(await readVersion(dir)).toBeGreaterThan(0);
    await writeVersion(dir, 1, 10);
    expect(await readVersion(dir)).toBe(1);
    expect(await filesIn(dir)).toEqual(names);
  }
}, 120_000);

test('weights and config that were not saved together are refused; edits that mean nothing are not', async () => {
  const [dir, other] = [join(await scratch(), 'one'), join(await scratch(), 'other')];
  await writeVersion(dir, 1, 10);
  await writeVersion(other, 2, 10);
  const { copyFile, readFile, rm } = await import('node:fs/promises');
  const [config, weights] = ['adapter_config.json', 'adapter_model.safetensors'] as const;
  const [ownConfig, ownWeights] = [await readFile(join(dir, config), 'utf8'), await readFile(join(dir, weights))];
  await copyFile(join(other, weights), join(dir, weights));
  const mixed = await messageOf('bad-adapter', () => readVersion(dir));
  expect(mixed).toContain(`${weights} is not the file that was saved with the config`);
  expect(mixed).toContain('remove adapter_digest.json');
  await writeFile(join(dir, weights), ownWeights);
  await copyFile(join(other, config), join(dir, config));
  expect(await messageOf('bad-adapter', () => readVersion(dir))).toContain(
    'lora_alpha is 2, with these weights 1 was saved',
  );
  // Edited by hand; written anew by PEFT, which knows more fields; both by PEFT after more training.
  const fields = JSON.parse(ownConfig);
  await writeFile(join(dir, config), JSON.stringify({ ...fields, base_model_name_or_path: '/elsewhere' }));
  expect(await readVersion(dir)).toBe(1);
  await writeFile(join(dir, config), JSON.stringify({ ...fields, peft_version: '0.21.2', r: 8 }));
  expect(await readVersion(dir)).toBe(1);
  await copyFile(join(other, weights), join(dir, weights));
  await writeFile(join(dir, config), JSON.stringify({ ...fields, lora_alpha: 2, r: 8 }));
  expect(await readVersion(dir)).toBe(2);
  await rm(join(dir, 'adapter_digest.json'));
  await writeFile(join(dir, weights), ownWeights);
  await writeFile(join(dir, config), ownConfig);
  expect(await readVersion(dir)).toBe(1);
  for (const digest of ['{}', '{"sums": {"a": 1}, "configs": {}}', '[]', '{"sums": {}, "configs": {"a": []}}']) {
    await writeFile(join(dir, 'adapter_digest.json'), digest);
    await messageOf('bad-adapter', () => readVersion(dir));
  }
  // One damaged bit.
  await writeVersion(dir, 1, 10);
  const damaged = Buffer.from(ownWeights);
  damaged[damaged.length - 1]! ^= 1;
  await writeFile(join(dir, weights), damaged);
  await messageOf('bad-adapter', () => readVersion(dir));
});
