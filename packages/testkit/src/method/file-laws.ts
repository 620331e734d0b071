import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import {
  type Adapted,
  type AdapterConfig,
  attach,
  load,
  type Method,
  type MethodFormat,
  type State,
  save,
} from '@peftjs/core';
import { type AdapterTensor, type AdapterTensorData, readAdapter, writeAdapter, writeAdapterHub } from '@peftjs/io';
import { type Executor, isPeftError, type Shape, type TypedArray } from '@peftjs/tensor';
import { mustBeNear, tolerances } from '@peftjs/tensor/testing';
import type { Law } from '@peftjs/transformer/testing';
import type { MethodCase } from './row.ts';
import { logitsOf, logitsShape, methodOf, subjectOf } from './subject.ts';

const inFolder = async (work: (dir: string) => Promise<void>): Promise<void> => {
  const dir = await mkdtemp(join(tmpdir(), 'peftjs-laws-'));
  try {
    await work(dir);
  } finally {
    await rm(dir, { recursive: true });
  }
};

const formatsOf = ({ factory, row }: MethodCase): readonly MethodFormat[] => [factory, ...(row.formats ?? [])];

const roundTrip = (of: MethodCase): Law => ({
  name: 'saves and loads to the bit',
  check: () =>
    inFolder(async (dir) => {
      const { base, adapted, method, executor } = await subjectOf(of);
      // First values that are computed have double precision here; a file holds what other executors do.
      for (const v of adapted.state.values()) await executor.write(v, await executor.read(v));
      await save(adapted, dir, { executor });
      const again = await load(base, dir, formatsOf(of));
      const [got, wanted] = [await logitsOf(again.model, executor), await logitsOf(adapted.model, executor)];
      // A compacted adapter computes the same in another way.
      const tolerance = method.compact ? tolerances.merged : tolerances.exact;
      mustBeNear('logits of the loaded adapter', got, wanted, { tolerance, shape: logitsShape(base) });
      if (method.compact) return;
      const names = [[...again.state.keys()], [...adapted.state.keys()]].map((keys) => keys.toSorted().join(', '));
      if (names[0] !== names[1]) throw new Error(`it saved ${names[1]} and loaded ${names[0]}`);
      for (const [name, v] of adapted.state)
        mustBeNear(name, await executor.read(again.state.get(name)!), await executor.read(v), {
          tolerance: tolerances.exact,
          shape: v.shape,
        });
    }),
});

const refusal = (of: MethodCase): Law => ({
  name: 'a file with a missing and an extra tensor is refused by their names',
  check: () =>
    inFolder(async (dir) => {
      const { base, adapted, executor } = await subjectOf(of);
      await save(adapted, dir, { executor });
      const { layout, config, tensors, head = null } = await readAdapter(dir);
      const missing = [...tensors.keys()].at(-1)!;
      const plain = ([key, { shape, data }]: [string, AdapterTensor]): readonly [string, AdapterTensorData] => [
        key,
        { shape, data },
      ];
      const kept = [...tensors].filter(([key]) => key !== missing).map(plain);
      const beside = head && { ...head, tensors: new Map([...head.tensors].map(plain)) };
      const hub = layout === 'adapter-hub';
      const odd = hub ? missing.replace(/[^.]+$/, 'nowhere') : 'model.nowhere.weight';
      // As large as the missing one, since a config's sizes are compared with what the file holds.
      const { shape, data } = tensors.get(missing)!;
      const extra = [odd, { shape, data }] as const;
      const { hiddenSize } = base.main;
      const { modelType, modelClass } = base.layout;
      const model = { modelType, hiddenSize, modelClass, name: null };
      if (hub) await writeAdapterHub(dir, config.raw, model, new Map([...kept, extra]), beside);
      else await writeAdapter(dir, config.raw, new Map([...kept, [`base_model.model.${extra[0]}`, extra[1]]]));
      const name = missing.replace(/^base_model\.(model\.)?/, '');
      const message = await load(base, dir, formatsOf(of)).then(
        () => 'nothing',
        (error: unknown) => (isPeftError(error) && error.code === 'state-mismatch' ? error.message : String(error)),
      );
      const wanted = [`${name} is missing`, `${extra[0]} belongs to nothing`];
      if (!wanted.every((part) => message.includes(part)))
        throw new Error(`load must throw state-mismatch with '${wanted.join("' and '")}'; it threw ${message}`);
    }),
});

const valuesIn = async (state: Adapted['state'], executor: Executor): Promise<State> => {
  const values = new Map<string, { shape: Shape; data: TypedArray }>();
  for (const [name, v] of state) values.set(name, { shape: v.shape, data: await executor.read(v) });
  return values;
};

const configuration = (of: MethodCase): Law => ({
  name: 'its configuration makes the same method again',
  check: async () => {
    const { base, method, adapted, executor } = await subjectOf(of, { shaken: false });
    // What is saved is the compacted form, where there is one.
    const saved =
      (await method.compact?.(base, await valuesIn(adapted.state, executor), { executor }))?.method ?? method;
    const config = JSON.parse(JSON.stringify(saved.config(base)));
    const build = (inner: AdapterConfig): Method =>
      formatsOf(of)
        .find((format) => format.reads(inner))!
        .fromConfig(inner, build);
    const again = build(config);
    const config2 = JSON.parse(JSON.stringify(again.config(base)));
    if (!isDeepStrictEqual(config2, config))
      throw new Error(`the configuration ${JSON.stringify(config)} makes a method of ${JSON.stringify(config2)}`);
    const shapes = (of: Method): string =>
      [...attach(base, [of]).params].map(([name, p]) => `${name} [${p.shape}]`).join(', ');
    const [got, wanted] = [shapes(again), shapes(saved)];
    if (got !== wanted) throw new Error(`the method of its configuration trains ${got}, not ${wanted}`);
  },
});

/** In the layout of adapter-hub/adapters, for a model whose modules' names there are not known. */
const namelessRefusal = (of: MethodCase): Law => ({
  name: 'is not written with names that are not known, and says so',
  check: () =>
    inFolder(async (dir) => {
      const { adapted, method, executor } = await subjectOf(of);
      const message = await save(adapted, dir, { executor }).then(
        () => 'nothing',
        (error: unknown) => (isPeftError(error) && error.code === 'bad-adapter' ? error.message : String(error)),
      );
      if (!message.includes(method.name) || !message.includes('are not known here'))
        throw new Error(`save must throw bad-adapter, naming ${method.name}; it threw ${message}`);
    }),
});

/** The laws of the two files. */
export const fileLaws = (of: MethodCase): readonly Law[] => {
  const base = of.base();
  const { layout, hubTable = 'adapterHubIntermediate' } = methodOf(of, base);
  const named = [hubTable, 'adapterHubIntermediate'].some((table) => base.layout.defaultTarget(table) !== undefined);
  return layout === 'adapter-hub' && !named
    ? [namelessRefusal(of), configuration(of)]
    : [roundTrip(of), refusal(of), configuration(of)];
};
