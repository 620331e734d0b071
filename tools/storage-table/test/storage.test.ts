import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { baseModelDir } from '@peftjs/base-model';
import { quantize } from '@peftjs/quant';
import { loadModel } from '@peftjs/transformer';
import { expect, test } from 'vitest';
import { formats, gptqBits, gptqName } from '../src/formats.ts';
import { bitsOf } from '../src/measure.ts';
import { shownBits } from '../src/table.ts';

const page = readFileSync(join(import.meta.dirname, '../../../docs/storage.md'), 'utf8');

/** Name and bits of each row of the page. */
const shown = [...page.matchAll(/^\| `([^`]+)` \| ([\d.]+) \|/gm)].map(([, name, bits]) => [name, bits]);

test('the page has a row for each format, with the bits that the device holds now; pnpm storage writes it anew', async () => {
  const model = await loadModel(baseModelDir());
  const bits = new Map(shown as [string, string][]);
  expect([...bits.keys()].sort()).toEqual([...Object.keys(formats), ...gptqBits.map(gptqName)].sort());
  for (const [name, format] of Object.entries(formats))
    expect([name, bits.get(name)]).toEqual([name, shownBits(bitsOf(quantize(model, format)))]);
});
