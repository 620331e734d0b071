import { join } from 'node:path';
import { baseVitDir, unseenPicturesDir } from '@peftjs/base-vit';
import { imageFolder } from '@peftjs/data';
import { imageClassifier } from '@peftjs/transformer';
import { loadImageProcessor } from '@peftjs/vision';
import type { ClassData, ClassExample } from './class-data.ts';

/** Pictures of clothes whose classes the base has never seen: `shots` of each class to learn from, and a hundred to test on. */
export const clothesData = async (shots: number, modelDir?: string): Promise<ClassData> => {
  const dir = modelDir ?? baseVitDir();
  const processor = await loadImageProcessor(dir);
  const folder = unseenPicturesDir();
  let shape: readonly number[] = [];
  const pictures = async (part: string, each: number, known?: readonly string[]) => {
    const { items, labels } = await imageFolder(join(folder, part), known);
    const examples: ClassExample[] = [];
    const seen = labels.map(() => 0);
    for await (const { image, label } of items.open()) {
      if (seen[label]!++ >= each) continue;
      const bytes = await image.files.read(image.path);
      const { data, shape: own } = await processor.process(bytes);
      shape = own;
      const src = `data:image/png;base64,${Buffer.from(bytes).toString('base64')}`;
      examples.push({ row: { pixels: data, labels: Int32Array.of(label) }, label, shown: { image: src } });
    }
    return { examples, labels };
  };
  const { examples: train, labels } = await pictures('train', shots);
  const { examples: test } = await pictures('test', Number.POSITIVE_INFINITY, labels);
  return {
    name: `${labels.slice(0, -1).join(', ')} or ${labels.at(-1)}`,
    examples: 'pictures',
    dir,
    base: modelDir ?? '@peftjs/base-vit',
    labels,
    task: imageClassifier({ labels }),
    train,
    test,
    shapes: { pixels: shape, labels: [] },
    length: null,
  };
};
