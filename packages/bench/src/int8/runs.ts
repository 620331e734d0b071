import { int8, nf4, type QuantFormat, quantize, quantizeByLlmInt8, quantizeEmbeddings } from '@peftjs/quant';
import { makeBatch } from '@peftjs/trainer';
import type { CausalLM } from '@peftjs/transformer';
import type { Ground } from '../quantized/ground.ts';

/** How every run trains. */
export const settings = {
  steps: 300,
  context: 64,
  rank: 16,
  /** Held-out rows. */
  heldOut: 48,
  /** Rows of the gradient. */
  measured: 4,
} as const;

export const seeds: readonly number[] = [0, 1, 2];

/** The name of PyTorch's gradient among the forms. */
export const torchForm = 'PyTorch, bfloat16';

/** Texts by which inputs that stand out are found. */
const looked = 8;

/** A base, and the one of floats that it is held against. */
export interface Form {
  /** As code makes it. */
  readonly name: string;
  /** The name of the form whose products are in f32; null where it is one. */
  readonly against: string | null;
  make(ground: Ground): CausalLM | Promise<CausalLM>;
}

const byLlmInt8 =
  (format?: QuantFormat): Form['make'] =>
  ({ model, executor, rows: { rows, context } }) =>
    quantizeByLlmInt8(model, {
      executor,
      data: rows.slice(0, looked).map((row) => makeBatch([row], 1, context)),
      ...(format && { format }),
    });

/** Over a table of tokens, and a head that is tied to it, in int8. */
const packed =
  (make: Form['make']): Form['make'] =>
  (ground) =>
    make({ ...ground, model: quantizeEmbeddings(ground.model, whole) });

const [whole, nf4Whole] = [int8({ compute: 'int8' }), nf4({ compute: 'int8' })];

/** The bases. */
export const forms: readonly Form[] = [
  { name: 'f32', against: null, make: ({ model }) => model },
  { name: "int8({ compute: 'int8' })", against: 'f32', make: ({ model }) => quantize(model, whole) },
  { name: 'quantizeByLlmInt8(model, { data })', against: 'f32', make: byLlmInt8() },
  {
    name: "quantizeByLlmInt8(quantizeEmbeddings(model, int8({ compute: 'int8' })), { data })",
    against: 'f32',
    make: packed(byLlmInt8()),
  },
  { name: 'nf4()', against: null, make: ({ model }) => quantize(model, nf4()) },
  { name: "nf4({ compute: 'int8' })", against: 'nf4()', make: ({ model }) => quantize(model, nf4Whole) },
  {
    name: "quantizeByLlmInt8(model, { data, format: nf4({ compute: 'int8' }) })",
    against: 'nf4()',
    make: byLlmInt8(nf4Whole),
  },
];
