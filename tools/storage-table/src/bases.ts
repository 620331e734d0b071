import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Tokenizer } from '@peftjs/io';
import { quantize, quantizeByGptq } from '@peftjs/quant';
import type { Executor } from '@peftjs/tensor';
import type { CausalLM } from '@peftjs/transformer';
import { formats, gptqBits, gptqName } from './formats.ts';

/** A path of the repository. */
export const at = (path: string): string => fileURLToPath(new URL(`../../../${path}`, import.meta.url));

/** The tokens of a file, cut into texts of one length. */
export const textsOf = (tokenizer: Tokenizer, files: readonly string[], length: number, most: number): number[][] => {
  const ids = files.flatMap((file) => Array.from(tokenizer.encode(readFileSync(at(file), 'utf8'))));
  return Array.from({ length: Math.min(most, Math.floor(ids.length / length)) }, (_, i) =>
    ids.slice(i * length, (i + 1) * length),
  );
};

/** Names of all rows but the floats'. */
export const names: readonly string[] = [...Object.keys(formats), ...gptqBits.map(gptqName)];

/** The model as a row has it: `f32` as it is. */
export const baseOf = async (
  name: string,
  model: CausalLM,
  tokenizer: Tokenizer,
  executor: Executor,
): Promise<CausalLM> => {
  if (name === 'f32') return model;
  const format = formats[name];
  if (format) return quantize(model, format);
  const bits = gptqBits.find((own) => gptqName(own) === name);
  if (bits === undefined) throw new Error(`No row of the table is called ${name}.`);
  const decisions = readdirSync(at('docs/decisions')).sort().slice(0, 24);
  const seen = textsOf(
    tokenizer,
    decisions.map((file) => `docs/decisions/${file}`),
    128,
    35,
  );
  const columns = { ids: Int32Array.from(seen.flat()) };
  const data = [{ rows: seen.length, columns, shapes: { ids: [seen.length, 128] as const } }];
  return quantizeByGptq(model, { executor, data, bits });
};
