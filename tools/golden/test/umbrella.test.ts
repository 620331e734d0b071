import { join } from 'node:path';
import { load as loadOf } from '@peftjs/core';
import { loadModel } from '@peftjs/transformer';
import * as all from 'peftjs';
import { load } from 'peftjs';
import { expect, test } from 'vitest';
import { familyAdapter, familyAdapters, openModel, ownFamilyAdapters } from '../src/families.ts';
import { written } from '../src/goldens.ts';
import { modelDir, writtenDir } from '../src/python-golden.ts';

test.each(written)('$name: load finds its method among all', async ({ name, model, formats }) => {
  const dir = join(writtenDir(name), 'adapter');
  const base = await loadModel(modelDir(model));
  const [found, told] = [await load(base, dir), await loadOf(base, dir, formats)];
  expect(found.method.name).toBe(told.method.name);
  expect([...found.state.keys()]).toEqual([...told.state.keys()]);
  // Given none, it says which to pass: an export that there is.
  const message = await loadOf(base, dir, []).catch((error: Error) => error.message);
  const [, missing] = /; pass (\w+) from '@peftjs\/[a-z]+'/.exec(String(message)) ?? [];
  expect(Object.keys(all)).toContain(missing);
});

test.each([...familyAdapters, ...ownFamilyAdapters])(
  '$adapter on $name: load finds its method among all',
  async ({ format, adapter, ...golden }) => {
    const found = await load(await openModel(golden), familyAdapter(golden.name, adapter));
    expect(found.method.name).toBe(format.name);
  },
);
