import { type FileIn, type Files, filesAt, joinPath, type Place } from '@peftjs/io';
import { PeftError } from '@peftjs/tensor';
import { fromArray } from '../from-array.ts';
import type { Stream } from '../stream.ts';

/** An image of a class. */
export interface ImageItem {
  /** The place of its file, which is read when it is used. */
  readonly image: FileIn;
  /** The number of its class. */
  readonly label: number;
}

/** Images of a folder, and the names of their classes. */
export interface ImageFolder {
  readonly items: Stream<ImageItem>;
  readonly labels: readonly string[];
}

const isImage = (name: string): boolean => /\.(png|jpe?g|webp|bmp|gif)$/i.test(name);

const folderNames = async (files: Files, folder = ''): Promise<readonly string[]> => {
  const names = await files.list(folder === '' ? undefined : folder);
  if (names) return names.filter((name) => !name.startsWith('.'));
  throw new PeftError('bad-option', `${files.name}: can't tell which files it has, so it can't be a folder of images`);
};

/**
 * Images in a folder for each class, as `cats/1.png`: the classes are the folders in the order of their names. Images are places of files, and
 * not read here. `labels` gives the classes, for data to be held out whose folders may be fewer. Throws `file-missing`, `bad-data`
 * where a folder has no image, images lie outside of folders, or a folder is no class of `labels`.
 */
export const imageFolder = async (place: Place, labels?: readonly string[]): Promise<ImageFolder> => {
  const files = await filesAt(place);
  const names = await folderNames(files);
  const folders = names.filter((name) => name.endsWith('/')).map((name) => name.slice(0, -1));
  const loose = names.filter(isImage);
  const classes = labels ?? folders;
  const unknown = folders.filter((name) => !classes.includes(name));
  const problem =
    folders.length === 0
      ? 'has no folders; images lie in a folder for each class, as cats/1.png'
      : loose.length > 0
        ? `has images outside of folders: ${loose.slice(0, 3).join(', ')}; each lies in the folder of its class`
        : unknown.length > 0 &&
          `has the folders ${unknown.join(', ')}, which are no classes; these are ${classes.join(', ')}`;
  if (problem) throw new PeftError('bad-data', `${files.name}: ${problem}`);
  const items: ImageItem[] = [];
  for (const folder of folders) {
    const images = (await folderNames(files, folder)).filter(isImage);
    if (images.length === 0) throw new PeftError('bad-data', `${joinPath(files.name, folder)}: has no images`);
    for (const name of images)
      items.push({ image: { files, path: joinPath(folder, name) }, label: classes.indexOf(folder) });
  }
  return { items: fromArray(items, 'image'), labels: classes };
};
