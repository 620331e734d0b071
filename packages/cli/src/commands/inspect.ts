import { readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { attach, summary } from '@peftjs/core';
import { openRows } from '@peftjs/data';
import { openGguf } from '@peftjs/gguf';
import { type AdapterHubHead, fileAt, filesAt, openSafetensors, readAdapter, readAdapterHubHead } from '@peftjs/io';
import { isPeftError, PeftError, sizeOf } from '@peftjs/tensor';
import { loadModel } from '@peftjs/transformer';
import { bar } from '../bar.ts';
import { readers } from '../base.ts';
import type { Call } from '../commands.ts';
import { bytes, type Context, count, result } from '../context.ts';
import { shownFiles } from '../hub.ts';
import { type PlaceKind, placeKind } from '../place-kind.ts';

/** Facts by name, in the order in which they are told. */
type Facts = Readonly<Record<string, unknown>>;

const bytesAt = async (place: string): Promise<number | null> => {
  const { files, path } = await fileAt(place);
  return files.size(path);
};

const fileBytes = async (dir: string): Promise<number> => {
  const files = await filesAt(dir);
  const names = ((await files.list()) ?? []).filter((name) => /\.(safetensors|bin)$/.test(name));
  const sizes = await Promise.all(names.map((name) => files.size(name)));
  return sizes.reduce<number>((a, b) => a + (b ?? 0), 0);
};

const valuesOf = (tensors: Iterable<{ readonly shape: readonly number[] }>): number =>
  [...tensors].reduce((n, { shape }) => n + sizeOf(shape), 0);

const model = async (dir: string): Promise<Facts> => {
  const loaded = await loadModel(await shownFiles(dir), { readers });
  const { config, linears, layout } = loaded;
  const { modelType, layers, hiddenSize, vocabSize, maxPositions } = config;
  const { base: values } = summary(attach(loaded, []));
  return {
    kind: 'model',
    type: modelType,
    class: layout.modelClass,
    parameters: values,
    layers,
    hiddenSize,
    vocabSize,
    positions: maxPositions,
    linearLayers: linears.size,
    fileBytes: await fileBytes(dir),
    bytesInF32: values * 4,
    bytesInF16: values * 2,
  };
};

/** A head of the adapters library: whose it is, its classes, and its fields where it is none of transformers' own. */
const headFacts = ({ modelClass, modelType, labels, outputs, config, tensors }: AdapterHubHead): Facts => ({
  class: modelClass,
  type: modelType,
  ...(config && { head: config['head_type'] }),
  classes: labels ?? outputs,
  values: valuesOf(tensors.values()),
  ...(config && { fields: config }),
  tensors: Object.fromEntries([...tensors].map(([name, { shape }]) => [name, shape.join(' x ')])),
});

const head = async (dir: string): Promise<Facts> => ({
  kind: 'head',
  ...headFacts(await readAdapterHubHead(dir)),
  fileBytes: await fileBytes(dir),
});

const adapter = async (dir: string): Promise<Facts> => {
  const { layout, config, tensors, head: beside } = await readAdapter(dir);
  const patterns = new Map<string, { tensors: number; values: number }>();
  for (const [name, { shape }] of tensors) {
    const pattern = name.replace(/\.\d+(?=\.)/g, '.*');
    const before = patterns.get(pattern) ?? { tensors: 0, values: 0 };
    patterns.set(pattern, { tensors: before.tensors + 1, values: before.values + sizeOf(shape) });
  }
  return {
    kind: 'adapter',
    method: config.method,
    layout,
    task: config.taskType,
    base: config.baseModel,
    values: valuesOf(tensors.values()),
    fileBytes: await fileBytes(dir),
    tensors: Object.fromEntries(patterns),
    ...(beside && { head: headFacts(beside) }),
    config: config.raw,
  };
};

const gguf = async (file: string): Promise<Facts> => {
  const { metadata, tensors } = await openGguf(file);
  const storages: Record<string, number> = {};
  for (const { storage, size } of tensors.values()) {
    const name = typeof storage === 'string' ? storage : JSON.stringify(storage);
    storages[name] = (storages[name] ?? 0) + size;
  }
  return {
    kind: 'GGUF model',
    architecture: metadata.get('general.architecture'),
    name: metadata.get('general.name'),
    parameters: valuesOf(tensors.values()),
    tensors: tensors.size,
    bytesByType: storages,
    metadata: [...metadata.keys()].length,
  };
};

/** The state that `train` keeps in a checkpoint, as far as it is told here. */
interface KeptRun {
  readonly step?: number;
  readonly run?: Readonly<Record<string, string>>;
  readonly log?: { readonly losses?: readonly { readonly loss: number }[] };
}

const tensors = async (file: string): Promise<Facts> => {
  await using reader = await openSafetensors(file);
  const kept = reader.metadata.get('peftjs.run');
  const found = {
    tensors: reader.tensors.size,
    values: valuesOf(reader.tensors.values()),
    fileBytes: await bytesAt(file),
  };
  if (kept === undefined) {
    const names = [...reader.tensors].slice(0, 12).map(([name, { dtype, shape }]) => `${name} ${dtype} [${shape}]`);
    return { kind: 'tensors', ...found, names, ...(reader.tensors.size > 12 && { more: reader.tensors.size - 12 }) };
  }
  const { step, run, log } = JSON.parse(kept) as KeptRun;
  return { kind: 'checkpoint', step, lastLoss: log?.losses?.at(-1)?.loss, ...run, ...found };
};

const data = async (file: string, context: Context): Promise<Facts> => {
  const stream = await openRows(file);
  const line = bar(context, `Reading ${basename(file)}`, { unit: 'examples' });
  const fields = new Map<string, number>();
  let [rows, first] = [0, undefined as unknown];
  for await (const row of stream.open()) {
    if (rows++ === 0) first = row;
    line.tell(rows);
    const names = typeof row === 'object' && row !== null ? Object.keys(row) : [`(${typeof row})`];
    for (const name of names) fields.set(name, (fields.get(name) ?? 0) + 1);
  }
  line.end();
  if (rows === 0) throw new PeftError('bad-data', `${file}: has no examples`);
  const shown = JSON.stringify(first, (_, value) =>
    value instanceof Uint8Array ? `(${count(value.length)} bytes)` : value,
  );
  return {
    kind: 'data',
    examples: rows,
    fileBytes: await bytesAt(file),
    fields: Object.fromEntries(fields),
    first: shown.length > 300 ? `${shown.slice(0, 300)} …` : shown,
  };
};

const run = async (dir: string): Promise<Facts> => {
  const { readRunConfig } = await import('../config/read.ts');
  const config = await readRunConfig(join(dir, 'run.yaml'), []);
  const checkpoint = join(dir, 'checkpoint.safetensors');
  const at = await tensors(checkpoint).catch((error: unknown) => {
    if (isPeftError(error) && error.code === 'file-missing') return {};
    throw error;
  });
  const trained = await readdir(join(dir, 'adapter')).catch(() => []);
  return {
    kind: 'run',
    model: config.model,
    method: config.method,
    data: config.data.train,
    ...('step' in at && { step: at['step'], lastLoss: at['lastLoss'] }),
    adapter: trained.length > 0 ? join(dir, 'adapter') : null,
  };
};

const looks: Readonly<Record<PlaceKind, (path: string, context: Context) => Promise<Facts>>> = {
  model,
  adapter,
  head,
  gguf,
  tensors,
  data,
  run,
};

const worded = (name: string, value: unknown): string => {
  if (value === null || value === undefined) return 'none';
  if (typeof value === 'number')
    return /bytes/i.test(name) ? bytes(value) : Number.isInteger(value) ? count(value) : value.toPrecision(5);
  if (typeof value === 'string') return value;
  if (Array.isArray(value)) return value.map((one) => `\n  ${worded('', one)}`).join('');
  return Object.entries(value)
    .map(([key, one]) => `\n  ${key}: ${typeof one === 'object' ? JSON.stringify(one) : worded(name, one)}`)
    .join('');
};

/** `fileBytes` as `file`, `hiddenSize` as `hidden size`. */
const title = (name: string): string =>
  name
    .replace(/Bytes$/, '')
    .replace(/^bytes(In|By)/, 'bytes $1 ')
    .replace(/([a-z])([A-Z])/g, '$1 $2')
    .toLowerCase();

/** `peftjs inspect`: the contents of a path, told by its files. Throws as the readers of each kind do. */
const inspect = async ({ args: [path], context }: Call): Promise<void> => {
  const facts = await looks[await placeKind(path!)](path!, context);
  const lines = Object.entries(facts).flatMap(([name, value]) =>
    value === undefined ? [] : [`${title(name)}: ${worded(name, value)}`],
  );
  result(context, { path, ...facts }, lines.join('\n'));
};

export { inspect as run };
