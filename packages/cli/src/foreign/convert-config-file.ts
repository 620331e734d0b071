import { readFile, stat, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { PeftError } from '@peftjs/tensor';
import { loadConfig } from '@peftjs/transformer';
import { readers } from '../base.ts';
import type { Call } from '../commands.ts';
import { result } from '../context.ts';
import { reasonOf } from '../output.ts';
import { type Beside, convertConfig, keysIn } from './convert-config.ts';

const textOf = (file: string): Promise<string> =>
  readFile(file, 'utf8').catch((cause: Error) => {
    throw new PeftError('file-missing', `${file}: can't be read: ${reasonOf(cause)}`, { cause });
  });

/** The datasets that LLaMA-Factory has registered, beside a configuration or where it is called; undefined where there are none. */
const datasetInfo = async (file: string, dir: unknown): Promise<unknown> => {
  const folder = typeof dir === 'string' ? dir : 'data';
  for (const at of [resolve(folder), resolve(dirname(file), folder)]) {
    const text = await readFile(join(at, 'dataset_info.json'), 'utf8').catch(() => null);
    if (text === null) continue;
    try {
      return JSON.parse(text);
    } catch (cause) {
      throw new PeftError('bad-data', `${join(at, 'dataset_info.json')}: is not JSON`, { cause });
    }
  }
  return undefined;
};

/** How many blocks a model has; undefined where its folder isn't here. */
const layersOf = async (model: unknown): Promise<number | undefined> => {
  if (typeof model !== 'string') return undefined;
  const found = await stat(join(model, 'config.json')).catch(() => null);
  return found ? (await loadConfig(model, { readers })).layers : undefined;
};

const counted = (keys: readonly string[]): string => (keys.length === 1 ? '1 key' : `${keys.length} keys`);

/** `peftjs convert config`: reads a configuration of another trainer and writes `run.yaml`. Throws `bad-option` where that is there already, and as `convertConfig`. */
export const convertConfigFile = async (args: readonly string[], { options, context }: Call): Promise<void> => {
  const [file, out = 'run.yaml', ...more] = args;
  if (file === undefined || more.length > 0)
    throw new PeftError(
      'bad-option',
      'convert config: give a file, and one to write: peftjs convert config axolotl.yaml run.yaml',
    );
  const text = await textOf(file);
  const given = keysIn(text, file);
  const layers = await layersOf(given['model']);
  const info = await datasetInfo(file, given['dataset_dir']);
  const beside: Beside = { ...(info !== undefined && { datasetInfo: info }), layers };
  const converted = convertConfig(text, file, { from: options['from'] as string | undefined, beside });
  if (options['force'] !== true && (await stat(out).catch(() => null)))
    throw new PeftError(
      'bad-option',
      `convert config: ${out} is there already; --force writes it anew, or name another file`,
    );
  await writeFile(out, converted.yaml);
  const { from, left, unknown } = converted;
  const lines = [
    `${out} is written, from a configuration of ${from}.`,
    ...(left.length > 0
      ? [
          '',
          `No field here (${counted(left.map(({ key }) => key))}):`,
          ...left.map(({ key, reason }) => `  ${key}: ${reason}`),
        ]
      : []),
    ...(unknown.length > 0 ? ['', `Not understood, and left out (${counted(unknown)}): ${unknown.join(', ')}`] : []),
    '',
    `Next: npx peftjs train ${out} --dry-run`,
  ];
  result(context, { file: out, from, left, unknown }, lines.join('\n'));
};
