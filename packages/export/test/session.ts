import { join } from 'node:path';
import type { Files } from '@peftjs/io';
import * as ort from 'onnxruntime-node';

/** Keys and values by name: `past_key_values.0.key`. */
export type Past = ReadonlyMap<string, ort.Tensor>;

/** A pass in ONNX Runtime. */
export interface Ran {
  /** [batch, tokens, vocabulary] */
  readonly logits: Float32Array;
  readonly past: Past;
}

/** A file in ONNX Runtime alone. */
export interface Session {
  readonly inputs: Readonly<Record<string, readonly (number | string)[]>>;
  readonly types: Readonly<Record<string, string>>;
  readonly outputs: Readonly<Record<string, readonly (number | string)[]>>;
  /** Rows of ids; a mask over past and tokens, all 1 where none is given; positions where the file has them; what a pass before left. */
  run(
    ids: readonly (readonly number[])[],
    options?: {
      readonly mask?: readonly (readonly number[])[];
      readonly positions?: readonly (readonly number[])[];
      readonly types?: readonly (readonly number[])[];
      readonly past?: Past;
    },
  ): Promise<Ran>;
  close(): Promise<void>;
}

const int64 = (rows: readonly (readonly number[])[]): ort.Tensor =>
  new ort.Tensor('int64', BigInt64Array.from(rows.flat(), BigInt), [rows.length, rows[0]!.length]);

/** Opens `onnx/model.onnx` of a folder on disk. */
export const open = async (dir: string): Promise<Session> =>
  wrap(await ort.InferenceSession.create(join(dir, 'onnx/model.onnx'), { intraOpNumThreads: 1 }));

/** Opens `onnx/model.onnx` of any files. */
export const openFiles = async (files: Files): Promise<Session> =>
  wrap(await ort.InferenceSession.create(await files.read('onnx/model.onnx'), { intraOpNumThreads: 1 }));

const wrap = (session: ort.InferenceSession): Session => {
  const tensors = (list: typeof session.inputMetadata) => list.filter((m) => m.isTensor);
  const inputs = Object.fromEntries(tensors(session.inputMetadata).map((m) => [m.name, m.shape]));
  return {
    inputs,
    types: Object.fromEntries(tensors(session.inputMetadata).map((m) => [m.name, m.type])),
    outputs: Object.fromEntries(tensors(session.outputMetadata).map((m) => [m.name, m.shape])),
    run: async (ids, { mask, positions, types, past } = {}) => {
      const kept = Object.entries(inputs).flatMap(([name, shape]) => {
        if (!name.startsWith('past_')) return [];
        const [, heads, , dim] = shape as [string, number, string, number];
        const none = new ort.Tensor('float32', new Float32Array(), [ids.length, heads, 0, dim]);
        return [[name, past?.get(name) ?? none] as const];
      });
      const before = kept[0]?.[1].dims[2] ?? 0;
      const width = before + ids[0]!.length;
      const results = await session.run({
        input_ids: int64(ids),
        attention_mask: int64(mask ?? ids.map(() => Array<number>(width).fill(1))),
        ...('position_ids' in inputs && {
          position_ids: int64(positions ?? ids.map((row) => row.map((_, t) => before + t))),
        }),
        ...(types && { token_type_ids: int64(types) }),
        ...Object.fromEntries(kept),
      });
      const present = Object.entries(results).filter(([name]) => name.startsWith('present.'));
      return {
        logits: results['logits']!.data as Float32Array,
        past: new Map(present.map(([name, t]) => [name.replace('present', 'past_key_values'), t])),
      };
    },
    close: () => session.release(),
  };
};
