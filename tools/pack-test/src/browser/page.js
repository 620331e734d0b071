// The page of a site that fine-tunes in its user's browser and offers the adapter for download.
import { blobFiles, opfsFiles, readAdapter, writeAdapter } from '@peftjs/io';
import { webgpu } from '@peftjs/webgpu';
import { fineTune } from './fine-tune.js';

/** A link that saves a file under its name. */
const offer = (name, bytes) => {
  const link = document.createElement('a');
  link.download = name;
  link.href = URL.createObjectURL(new Blob([bytes]));
  link.textContent = name;
  document.body.append(link);
};

const valuesOf = ({ tensors }) => [...tensors].map(([name, { shape, data }]) => [name, shape, [...data]]);

/** An adapter goes through the browser's own file system, and comes back from chosen files. */
const keptHere = async (files) => {
  const adapter = await readAdapter(files);
  const own = opfsFiles('adapters/mine');
  await writeAdapter(own, adapter.config.raw, adapter.tensors);
  // Once more over what is there.
  await writeAdapter(own, adapter.config.raw, adapter.tensors);
  const names = await own.list();
  const chosen = await Promise.all(names.map(async (name) => new File([await own.read(name)], name)));
  return {
    names,
    same: [own, blobFiles(chosen)].map(async (place) => JSON.stringify(valuesOf(await readAdapter(place)))),
    values: JSON.stringify(valuesOf(adapter)),
  };
};

globalThis.run = async (folder) => {
  const executor = await webgpu({ adapter: 'any' });
  const { losses, files } = await fineTune(folder, executor);
  await executor.close();
  for (const name of await files.list()) offer(name, await files.read(name));
  const { names, same, values } = await keptHere(files);
  return { losses, device: executor.description, names, kept: (await Promise.all(same)).map((v) => v === values) };
};
