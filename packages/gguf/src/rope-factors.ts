import { PeftError } from '@peftjs/tensor';
import type { Fields } from './architecture.ts';
import { type GgufFile, readValues } from './open-gguf.ts';

type Json = Readonly<Record<string, unknown>>;

/** Tables of rotary factors that a file may have: of Llama 3's rule, and LongRoPE's for texts beyond the context of pretraining and within it. */
export const ropeTables = {
  llama3: 'rope_freqs.weight',
  long: 'rope_factors_long.weight',
  short: 'rope_factors_short.weight',
} as const;

/** Rotary factors of Llama 3: [headDim / 2], as llama.cpp's converter computes them. Llama Team, 2024. https://arxiv.org/abs/2407.21783 */
const llama3Factors = (theta: number, headDim: number, factor: number): readonly number[] =>
  Array.from({ length: headDim / 2 }, (_, i) => {
    const wavelength = 2 * Math.PI * theta ** ((2 * i) / headDim);
    if (wavelength < 8192 / 4) return 1;
    if (wavelength > 8192) return factor;
    const smooth = (8192 / wavelength - 1) / 3;
    return 1 / ((1 - smooth) / factor + smooth);
  });

const llama3 = { low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 8192 } as const;

/** The rule that a file's tables of rotary factors stand for; null where it has none. Throws `bad-config` for another than is known. */
const ruleOfTables = async (
  file: GgufFile,
  { number }: Fields,
  theta: number,
  headDim: number,
): Promise<Json | null> => {
  const [long, short] = [file.tensors.get(ropeTables.long), file.tensors.get(ropeTables.short)];
  if (long && short)
    return {
      rope_type: 'longrope',
      long_factor: [...(await readValues(long))],
      short_factor: [...(await readValues(short))],
      attention_factor: number('rope.scaling.attn_factor'),
      original_max_position_embeddings: number('rope.scaling.original_context_length'),
    };
  const table = file.tensors.get(ropeTables.llama3);
  if (!table) return null;
  const found = await readValues(table);
  const factor = found.at(-1)!;
  const isWhole = found.length === headDim / 2;
  const wanted = isWhole ? llama3Factors(theta, headDim, factor) : [];
  if (isWhole && wanted.every((v, i) => Math.abs(v - found[i]!) < 1e-4 * v))
    return { rope_type: 'llama3', factor, ...llama3 };
  throw new PeftError(
    'bad-config',
    `${file.name}: its rope_freqs.weight is not the table of Llama 3, the only one that is known`,
  );
};

/** `rope_scaling` of a file's metadata, or of its tables; null for none. Throws `bad-config`. */
export const scalingOf = async (
  file: GgufFile,
  fields: Fields,
  theta: number,
  headDim: number,
): Promise<Json | null> => {
  const { text, number } = fields;
  const type = text('rope.scaling.type') ?? 'none';
  if (type === 'none') return ruleOfTables(file, fields, theta, headDim);
  return {
    rope_type: type,
    factor: number('rope.scaling.factor'),
    original_max_position_embeddings: number('rope.scaling.original_context_length'),
  };
};

/** The tables that a config's `rope_scaling` becomes, by name; none where there is none, or the metadata say all. Throws `not-mergeable` for another that files don't tell. */
export const tablesOf = (json: Json): ReadonlyMap<string, Float32Array> => {
  const scaling = json['rope_scaling'] as Json | null | undefined;
  if (!scaling || scaling['rope_type'] === 'linear') return new Map();
  const { rope_type: kind, long_factor: long, short_factor: short, factor } = scaling;
  if (kind === 'longrope')
    return new Map([
      [ropeTables.long, Float32Array.from(long as number[])],
      [ropeTables.short, Float32Array.from(short as number[])],
    ]);
  if (kind !== 'llama3' || Object.entries(llama3).some(([field, value]) => scaling[field] !== value))
    throw new PeftError(
      'not-mergeable',
      `saveGguf: rope_scaling ${JSON.stringify(scaling)} is not written; linear ones, LongRoPE and that of Llama 3 (factors 1 and 4, 8192 positions) are`,
    );
  const factors = llama3Factors(Number(json['rope_theta']), Number(json['head_dim']), Number(factor));
  return new Map([[ropeTables.llama3, Float32Array.from(factors)]]);
};
