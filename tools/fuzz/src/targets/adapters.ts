import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import * as bottlenecks from '@peftjs/adapters';
import { load, type MethodFormat } from '@peftjs/core';
import { memoryFiles } from '@peftjs/io';
import * as lora from '@peftjs/lora';
import * as multitask from '@peftjs/multitask';
import * as prompts from '@peftjs/prompts';
import * as scaling from '@peftjs/scaling';
import * as selective from '@peftjs/selective';
import { type CausalLM, loadModel } from '@peftjs/transformer';
import { folder, goldens } from '../folder.ts';
import type { FileMap } from '../mutate-files.ts';
import type { Target } from '../target.ts';

const dir = join(goldens, 'python');
const bases = ['plain', 'square', 'gpt2'];

/** Tells which base a folder belongs to; no file of adapters has this name. */
const baseFile = 'base.txt';

const isFormat = (value: unknown): value is MethodFormat => typeof value === 'function' && 'reads' in value;
export const formats: readonly MethodFormat[] = [bottlenecks, lora, multitask, prompts, scaling, selective].flatMap(
  (module) => Object.values(module).filter(isFormat),
);

const inFolder = (files: FileMap, name: string): FileMap =>
  new Map(
    [...files].flatMap(([path, bytes]) => (path.startsWith(`${name}/`) ? [[path.slice(name.length + 1), bytes]] : [])),
  );

const loaded = new Map<string, Promise<CausalLM>>();

/** Adapters of both libraries, as safetensors and by `torch.save`: each is attached to its base. */
export const adapters: Target = {
  name: 'adapters',
  seeds: async () => {
    const names = (await readdir(dir)).filter((name) => bases.some((base) => name.startsWith(`${base}-`)));
    const own = names.map((name) => [name, join(dir, name, 'adapter')] as const);
    const torch = (await readdir(join(goldens, 'io/adapters'))).map(
      (name) => [name, join(goldens, 'io/adapters', name)] as const,
    );
    const seeds = await Promise.all(
      [...own, ...torch].map(async ([name, path]) => {
        const files = await folder(path).catch(() => new Map());
        const base = bases.find((b) => name.startsWith(`${b}-`))!;
        return new Map([...files, [baseFile, new TextEncoder().encode(base)] as const]);
      }),
    );
    return seeds.filter((files) => files.size > 1);
  },
  context: async () => {
    const files = new Map<string, Uint8Array>();
    for (const base of bases)
      for (const [path, bytes] of await folder(join(dir, 'models', base))) files.set(`${base}/${path}`, bytes);
    return files;
  },
  run: async (input, context) => {
    const said = new TextDecoder().decode(input.get(baseFile) ?? new Uint8Array(0));
    const base = bases.includes(said) ? said : bases[0]!;
    if (!loaded.has(base)) loaded.set(base, loadModel(memoryFiles(inFolder(context, base))));
    await load(await loaded.get(base)!, memoryFiles(input), formats);
  },
};
