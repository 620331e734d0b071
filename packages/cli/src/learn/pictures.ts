import { type ImageItem, imageFolder } from '@peftjs/data';
import { PeftError } from '@peftjs/tensor';
import { imageClassifier } from '@peftjs/transformer';
import { loadImageProcessor } from '@peftjs/vision';
import type { MakeLesson } from './lesson.ts';

/** Learning the class of a picture: those of a folder, which has a folder for each class. */
export const pictures: MakeLesson = async ({ data, task }, place) => {
  if (data.train.length > 1)
    throw new PeftError(
      'bad-config',
      `data.train names ${data.train.length} places; pictures are in one folder, which has a folder for each class`,
    );
  const { labels, items } = await imageFolder(data.train[0]!, task['labels'] as readonly string[] | undefined);
  if (labels.length < 2)
    throw new PeftError(
      'bad-data',
      `${data.train[0]}: has one class, ${labels.join()}, so nothing to tell apart; name all classes as task.labels`,
    );
  const processor = await loadImageProcessor(place.files);
  const pixelsOf = async ({ image: { files, path } }: ImageItem) => processor.process(await files.read(path));
  let shape: readonly number[] = [];
  for await (const first of items.open()) {
    ({ shape } = await pixelsOf(first));
    break;
  }
  return {
    task: imageClassifier({ labels }),
    kept: { ...task, labels },
    group: 1,
    unit: 'example',
    lengths: [],
    ending: null,
    batch: { mask: false, shapes: { labels: [], pixels: shape } },
    key: (item) => (item as ImageItem).image.path,
    open: async ([folder]) => (await imageFolder(folder!, labels)).items,
    encoder: () => async (item: ImageItem) => [
      { pixels: (await pixelsOf(item)).data, labels: Int32Array.of(item.label) },
    ],
  };
};
