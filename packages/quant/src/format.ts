import { type Packed, type PackedAttrs, type PackedOption, PeftError, type TypedArray } from '@peftjs/tensor';

/** The values of a packed matrix on the host, as the inputs of `matmulQuantized` hold them; scales and minima in f16 are its bits. */
export type PackedData = Packed<TypedArray>;

/** How matrices are stored. */
export interface QuantFormat {
  /** The name that messages and tables show: `int8`, `nf4`, `Q4_K`. */
  readonly name: string;
  /** The parts of a packed matrix beside its codes and scales. */
  readonly parts: readonly PackedOption[];
  /** Whether scales and minima are kept in f16. Default false. */
  readonly halfScales?: boolean;
  /** Whether products round their inputs and multiply whole numbers. Default: they take inputs as they are. */
  readonly compute?: 'int8' | undefined;
  /** How a row of `inDim` values is packed. Throws `bad-shape` for rows that the format can't hold. */
  layout(inDim: number): PackedAttrs;
  /** Packs values [rows, inDim]; `name` is for the message where some are not finite. Throws `bad-data`. */
  pack(name: string, values: Float32Array, rows: number, inDim: number): PackedData;
  /**
   * Packs values that are to take the place of packed ones: where these can stand for them with little changed, as merged weights can, their codes stay. `attrs` and the parts
   * of `old` say how it lies. Default: as `pack`.
   */
  repack?(name: string, values: Float32Array, rows: number, old: PackedData, attrs: PackedAttrs): PackedData;
}

/** How products by a format are made. */
export interface ComputeOptions {
  /**
   * `int8`: products round each row of their inputs to 8 bits and multiply whole numbers, forward and in the gradient of the inputs, at about three times the speed on a processor with VNNI. What is not stored as whole numbers with a scale
   * for each output (`int8()`) is rounded to such as well, whenever its product is due: bytes held stay those of the format. The layer is then near what its values say, not equal: by 1 % of a product where no input
   * stands out (see `quantizeByLlmInt8` for inputs that do). Default: inputs as they are.
   */
  readonly compute?: 'int8';
}

/** Throws `bad-option` for a way of computing that is none. */
export const checkCompute = (format: string, { compute }: { readonly compute?: unknown }): void => {
  if (compute !== undefined && compute !== 'int8')
    throw new PeftError('bad-option', `${format}: compute is 'int8' or left out, got ${JSON.stringify(compute)}`);
};

/** How a matrix lies in memory: a format, but for how values are packed. */
export type Storage = Omit<QuantFormat, 'pack'>;

/** Throws `bad-data` where values are not finite: how many, and the first. */
export const checkFinite = (format: string, name: string, values: Float32Array, inDim: number): void => {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += 0 * values[i]!;
  if (sum === 0) return;
  const first = values.findIndex((v) => !Number.isFinite(v));
  const count = values.reduce((n, v) => n + Number(!Number.isFinite(v)), 0);
  throw new PeftError(
    'bad-data',
    `${format}: ${name} holds ${count} values that are not finite, the first is ${values[first]} at ` +
      `[${Math.floor(first / inDim)}, ${first % inDim}]; a scale cannot be taken. Load another checkpoint, or leave the layer out of the target.`,
  );
};

/** Throws `bad-option` unless a block size is a positive integer, and a multiple of `of`. */
export const checkBlockSize = (format: string, blockSize: number, of: number): void => {
  if (!Number.isSafeInteger(blockSize) || blockSize < 1 || blockSize % of > 0)
    throw new PeftError(
      'bad-option',
      `${format}: blockSize must be a positive ${of === 1 ? 'integer' : `multiple of ${of}`}, got ${blockSize}`,
    );
};
