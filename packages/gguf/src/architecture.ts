import type { GgufValue } from './header.ts';

type Json = Readonly<Record<string, unknown>>;

/** Numbers and flags of a file's metadata, by what follows the architecture's name: `block_count` of `llama.block_count`. */
export interface Fields {
  number(name: string): number | undefined;
  text(name: string): string | undefined;
  /** Whether the file has a tensor. */
  hasTensor(name: string): boolean;
}

/** How queries and keys are turned by position. */
export interface Rotary {
  readonly theta: number;
  /** Values of a head. */
  readonly headDim: number;
  /** `rope_scaling`; null where there is none. */
  readonly scaling: Json | null;
}

/** How one of llama.cpp's architectures is a model of Hugging Face's. https://github.com/ggml-org/llama.cpp (convert_hf_to_gguf.py) */
export interface Architecture {
  readonly modelType: string;
  /** Names of layers within a block: Hugging Face's, and llama.cpp's. */
  readonly layers: Readonly<Record<string, string>>;
  /** The same outside of blocks. */
  readonly outside: Readonly<Record<string, string>>;
  /** Where blocks lie in Hugging Face's names: `model.layers`. */
  readonly blocks: string;
  /** Whether rows of queries and keys are ordered by pairs of neighbours, as llama.cpp rotates them, not by halves. */
  readonly pairedRows?: boolean;
  /** Number that the file's norms are above ours. */
  readonly normOffset?: number;
  /** The numbers of its metadata. */
  readonly numbers: readonly NumberField[];
  /** Further names of its metadata that are read. Default none. */
  readonly reads?: readonly string[];
  /** Numbers that stand for other fields of `config.json` than one, to be written. Default none. */
  more?(json: Json): readonly NumberRow[];
  /** Fields of `config.json`: these numbers, and what else the metadata say. */
  config(fields: Fields, rope: Rotary): Json;
}

/** A number of the metadata, after the architecture's name, its kind there, and the field of `config.json` that it is. */
export type NumberField = readonly [name: string, kind: 'u32' | 'f32', field: string];

/** The fields of numbers that a file has. */
export const readNumbers = (rows: readonly NumberField[], { number }: Fields): Json =>
  Object.fromEntries(
    rows.flatMap(([name, , field]) => {
      const value = number(name);
      return value === undefined ? [] : [[field, value]];
    }),
  );

/** A number to write: its name in the metadata, after the architecture's. */
export type NumberRow = readonly [name: string, kind: 'u32' | 'f32', value: number];

/** The numbers of a config, as the metadata of a file have them. */
export const numbersOf = ({ numbers, more }: Architecture, json: Json): readonly NumberRow[] => [
  ...numbers.flatMap(([name, kind, field]): NumberRow[] =>
    typeof json[field] === 'number' ? [[name, kind, json[field]]] : [],
  ),
  ...(more?.(json) ?? []),
];

/** The name that a file has for a tensor of ours: `blk.0.attn_q.weight` for `model.layers.0.self_attn.q_proj.weight`; undefined where it has none. */
export const nameInFile = ({ layers, outside, blocks }: Architecture, name: string): string | undefined => {
  const dot = name.lastIndexOf('.');
  const [path, kind] = [name.slice(0, dot), name.slice(dot)];
  if (Object.hasOwn(outside, path)) return `${outside[path]}${kind}`;
  const [, layer, inBlock] = path.startsWith(`${blocks}.`)
    ? (/^(\d+)\.(.+)$/.exec(path.slice(blocks.length + 1)) ?? [])
    : [];
  return inBlock !== undefined && Object.hasOwn(layers, inBlock) ? `blk.${layer}.${layers[inBlock]}${kind}` : undefined;
};

/** Reads a file's metadata under an architecture's name. */
export const fieldsOf = (
  architecture: string,
  metadata: ReadonlyMap<string, GgufValue>,
  tensors: ReadonlyMap<string, unknown>,
): Fields => {
  const of = (name: string): GgufValue | undefined => metadata.get(`${architecture}.${name}`);
  return {
    number: (name) => {
      const value = of(name);
      return typeof value === 'number' || typeof value === 'bigint' ? Number(value) : undefined;
    },
    text: (name) => {
      const value = of(name);
      return typeof value === 'string' ? value : undefined;
    },
    hasTensor: (name) => tensors.has(name),
  };
};
