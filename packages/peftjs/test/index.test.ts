import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as baseModel from '@peftjs/base-model';
import { tinyLlama } from '@peftjs/transformer/testing';
import { expect, test } from 'vitest';
import * as umbrella from '../src/index.ts';
import { attach, cpu, ia3, load, memoryFiles, reference, save, vera } from '../src/index.ts';

const { dependencies } = JSON.parse(readFileSync(join(import.meta.dirname, '../package.json'), 'utf8')) as {
  readonly dependencies: Readonly<Record<string, string>>;
};

/** Packages beside it: internal ones, programs, the models to try, what is for clusters, and what is for tests. */
const apart = ['base-encoder', 'base-model', 'base-seq2seq', 'base-vit', 'bench', 'cli', 'mpi', 'peftjs', 'testkit'];
const ids = readdirSync(join(import.meta.dirname, '../..')).filter((id) => !apart.includes(id));
const exportsOf = async (id: string): Promise<readonly (readonly [string, unknown])[]> =>
  Object.entries((await import(`@peftjs/${id}`)) as object);

test('all packages are in it, and the command, which its import does not load', async () => {
  expect(Object.keys(dependencies).sort()).toEqual([...ids, 'cli'].map((id) => `@peftjs/${id}`).sort());
  const sources = readdirSync(join(import.meta.dirname, '../src'));
  const all = sources.map((name) => readFileSync(join(import.meta.dirname, '../src', name), 'utf8')).join('');
  expect(all).not.toContain('@peftjs/cli');
  expect(readFileSync(join(import.meta.dirname, '../bin/peftjs.mjs'), 'utf8')).toContain("from '@peftjs/cli'");
});

test('a name means one thing in all packages', async () => {
  const known = new Map<string, readonly [id: string, value: unknown]>();
  const clashes: string[] = [];
  const all = await Promise.all(ids.map(async (id) => [id, await exportsOf(id)] as const));
  for (const [id, exported] of [...all, ['base-model', Object.entries(baseModel)] as const])
    for (const [name, value] of exported) {
      const [other, before] = known.get(name) ?? [id, value];
      if (before !== value) clashes.push(`${name} of ${other} and of ${id}`);
      known.set(name, [id, value]);
    }
  expect(clashes).toEqual([]);
});

test('every name of theirs is there, and means the same but for what is loaded late', async () => {
  const own = umbrella as unknown as Readonly<Record<string, unknown>>;
  const others: string[] = [];
  for (const id of ids)
    for (const [name, value] of await exportsOf(id)) {
      expect(Object.keys(own)).toContain(name);
      if (own[name] !== value) others.push(name);
    }
  expect(others.sort()).toEqual(['cpu', 'exportModel', 'exportOnnx', 'load', 'onnxFiles']);
});

test('every method is among those that load chooses from', () => {
  const exported = Object.entries(umbrella).flatMap(([name, v]) =>
    typeof v === 'function' && 'paper' in v ? [name] : [],
  );
  const found = umbrella.allMethods().map(({ name }) => name);
  expect(found).toEqual(expect.arrayContaining(exported));
  expect(new Set(found).size).toBe(found.length);
  expect(exported.length).toBeGreaterThan(20);
});

test('load finds the method of an adapter by itself, and keeps to those that it is given', async () => {
  const base = tinyLlama();
  const files = memoryFiles();
  await save(attach(base, [vera({ rank: 2 })]), files, { executor: reference() });
  expect((await load(base, files)).method.name).toBe('vera');
  expect((await load(base, files, [vera])).method.name).toBe('vera');
  await expect(load(base, files, [ia3])).rejects.toMatchObject({ code: 'bad-adapter' });
});

test('cpu() is that of @peftjs/onnx', async () => {
  const executor = await cpu({ threads: 1 });
  expect(executor.name).toBe('cpu');
  await executor.close();
});
