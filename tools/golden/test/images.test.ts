import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { memoryFiles, openSafetensors } from '@peftjs/io';
import { distance } from '@peftjs/testkit';
import { loadImageProcessor } from '@peftjs/vision';
import { expect, test } from 'vitest';

interface Case {
  readonly file: string;
  /** `preprocessor_config.json`, as short as it may be. */
  readonly config: object;
  /** The same as transformers writes it. */
  readonly full: object;
}

const folder = join(import.meta.dirname, '../data/io/images');
const cases = JSON.parse(await readFile(join(folder, 'cases.json'), 'utf8')) as readonly Case[];

const processorOf = (config: object) =>
  loadImageProcessor(
    memoryFiles(new Map([['preprocessor_config.json', new TextEncoder().encode(JSON.stringify(config))]])),
  );

test.each(cases.map((one, i) => ({ ...one, i })))('$file by $config has the pixels of transformers', async (one) => {
  await using recorded = await openSafetensors(join(folder, 'pixels.safetensors'));
  const processor = await processorOf(one.config);
  const { shape, data } = await processor.process(await readFile(join(folder, one.file)));
  expect(shape).toEqual(recorded.tensors.get(`${one.i}`)!.shape);
  const wanted = await recorded.readFloat32(`${one.i}`);
  // Values from 0 to 255 where they are not rescaled.
  expect(distance(data, wanted)).toBeLessThan(1e-6 * Math.max(10, ...wanted));
  expect((await processorOf(one.full)).config).toEqual(processor.config);
});
