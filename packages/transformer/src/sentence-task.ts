import { filesAt, isObject, joinPath, type Place, readJson } from '@peftjs/io';
import { PeftError, shown, type Tensor } from '@peftjs/tensor';
import type { Pooling } from './pooling.ts';
import type { EmbeddingLoss } from './tasks/embedding-losses.ts';
import { featureExtraction } from './tasks/feature-extraction.ts';
import type { Task } from './tasks/task.ts';

type Json = Readonly<Record<string, unknown>>;

/** Names of poolings in files: of the field `pooling_mode`, and of the switches that came before it. */
const modes: Readonly<Record<string, Pooling>> = {
  mean: 'mean',
  mean_sqrt_len_tokens: 'mean-sqrt',
  cls: 'cls',
  lasttoken: 'last',
  max: 'max',
  pooling_mode_mean_tokens: 'mean',
  pooling_mode_mean_sqrt_len_tokens: 'mean-sqrt',
  pooling_mode_cls_token: 'cls',
  pooling_mode_lasttoken: 'last',
  pooling_mode_max_tokens: 'max',
};

/** The pooling of `1_Pooling/config.json`. Throws `bad-config` for several, and for those that are not there. */
const poolingOf = (config: unknown, who: string): Pooling => {
  const json: Json = isObject(config) ? config : {};
  const own = json['pooling_mode'];
  const named =
    own === undefined ? Object.keys(json).filter((key) => /^pooling_mode_/.test(key) && json[key]) : [own].flat();
  const [mode] = named;
  if (named.length === 1 && typeof mode === 'string' && Object.hasOwn(modes, mode)) return modes[mode]!;
  throw new PeftError(
    'bad-config',
    `${who}: pooling ${named.map(shown).join(', ') || 'none'} is not supported; one of mean, mean_sqrt_len_tokens, cls, lasttoken, max is`,
  );
};

/** The last word of a module's class: `Pooling` of `sentence_transformers.models.Pooling`. */
const kindOf = (module: unknown): string => (isObject(module) ? String(module['type']).split('.').at(-1)! : '');

/**
 * The task of a folder of sentence-transformers, as its `modules.json` says: a transformer, a pooling, perhaps vectors of length 1. With it
 * `loadModel(dir, { task })` gives the texts' vectors. `loss`: what is trained for. Throws `file-missing`; `bad-config` for modules that are
 * not computed here.
 */
export const sentenceTask = async (
  dir: Place,
  options: { readonly loss?: EmbeddingLoss } = {},
): Promise<Task<Tensor>> => {
  const files = await filesAt(dir);
  const path = 'modules.json';
  const who = joinPath(files.name, path);
  const modules = await readJson(files, path, 'bad-config');
  const kinds = Array.isArray(modules) ? modules.map(kindOf) : [];
  if (!/^Transformer,Pooling(,Normalize)?$/.test(kinds.join()))
    throw new PeftError(
      'bad-config',
      `${who}: has the modules ${kinds.join(', ') || 'none'}; Transformer, Pooling and perhaps Normalize are supported`,
    );
  const [first, second] = (modules as readonly Json[]).map(({ path: own }) => own);
  if (first !== '' || typeof second !== 'string' || !/^\w+$/.test(second))
    throw new PeftError('bad-config', `${who}: path must be "" of the transformer, and a folder of the pooling`);
  const at = `${second}/config.json`;
  const pooling = poolingOf(await readJson(files, at, 'bad-config'), joinPath(files.name, at));
  return featureExtraction({ pooling, normalize: kinds.length === 3, ...options });
};
