import { statSync } from 'node:fs';
import { join } from 'node:path';
import { batch, fromArray, imageFolder, pipe, type Row } from '@peftjs/data';
import { cpu } from '@peftjs/onnx';
import { randomSource } from '@peftjs/tensor';
import { evaluateModel } from '@peftjs/trainer';
import { imageClassifier, loadModel } from '@peftjs/transformer';
import { loadImageProcessor } from '@peftjs/vision';
import { describe, expect, it } from 'vitest';
import { baseVitDir, unseenPicturesDir } from '../src/index.ts';
import { seen, unseen } from '../tools/fashion.ts';
import { moved } from '../tools/moved.ts';

describe('the shipped pictures', () => {
  it.each(['train', 'test'])('are a hundred of each unseen class to %s', async (part) => {
    const { items, labels } = await imageFolder(join(unseenPicturesDir(), part));
    expect(labels).toEqual([...unseen].sort());
    const counts = labels.map(() => 0);
    for await (const { label } of items.open()) counts[label]!++;
    expect(counts).toEqual([100, 100, 100]);
  });
});

describe('the shipped model', () => {
  it('is at most 6 MB, and knows the seven classes that it was trained on', async () => {
    expect(statSync(join(baseVitDir(), 'model.safetensors')).size).toBeLessThan(6e6);
    const model = await loadModel(baseVitDir(), { task: imageClassifier({ labels: seen }) });
    expect(model.config.labels).toEqual(seen);
  });

  it('takes a coat, a pullover or a shirt for what has sleeves or falls straight, not for shoes or bags', async () => {
    const processor = await loadImageProcessor(baseVitDir());
    const { items } = await imageFolder(join(unseenPicturesDir(), 'test'));
    const rows: Row[] = [];
    let at = 0;
    for await (const { image } of items.open())
      if (at++ % 10 === 0) {
        const { data } = await processor.process(await image.files.read(image.path));
        rows.push({ pixels: data, labels: Int32Array.of(seen.indexOf('t-shirt')) });
      }
    const executor = await cpu();
    const model = await loadModel(baseVitDir(), { task: imageClassifier({ labels: seen }) });
    const { metrics } = await evaluateModel(
      model,
      pipe(fromArray(rows), batch({ size: rows.length, shapes: { pixels: [1, 28, 28], labels: [] } })),
      { executor, metrics: ['accuracy'] },
    );
    await executor.close();
    expect(metrics['accuracy']).toBeGreaterThan(0.3);
  });
});

describe('moved', () => {
  it('keeps what stays inside, and lets black come in', () => {
    const pixels = Uint8Array.from({ length: 49 }, (_, i) => (i === 24 ? 9 : 0));
    const random = randomSource(0, 'test');
    const places = new Set<number>();
    for (let i = 0; i < 200; i++) {
      const out = moved(pixels, 7, random);
      expect(out.filter((v) => v === 9)).toHaveLength(1);
      places.add(out.indexOf(9));
    }
    expect([...places].sort((a, b) => a - b)).toEqual(
      [1, 2, 3, 4, 5].flatMap((y) => [1, 2, 3, 4, 5].map((x) => 7 * y + x)),
    );
  });
});
