import type { Feeds } from '../compile.ts';
import { type AnyOp, applyOp, type Sample } from '../define-op.ts';
import { type DType, hostArray, isWhole, type TypedArray } from '../dtype.ts';
import { input, outputOf, type Tensor } from '../graph.ts';
import { numberToHalf } from '../half.ts';
import { randomSource } from '../random-source.ts';
import { sizeOf } from '../shape.ts';

/** The inputs of a sample: nodes by input name, absent optional ones left out, and data to feed them. */
export interface SampleInputs {
  readonly tensors: Readonly<Record<string, Tensor>>;
  readonly feeds: Feeds;
}

/** The part of a sample about one input, whatever op it belongs to. */
type AnySample = Sample<string, unknown>;

const inputNames = (op: AnyOp): readonly string[] => [...op.inputs, ...(op.optional ?? [])];

const sampleData = (
  { ranges, values }: AnySample,
  name: string,
  dtype: DType,
  size: number,
  random: () => number,
): TypedArray => {
  const [low, high] = ranges?.[name] ?? [-1, 1];
  const whole = isWhole(dtype);
  const draw = (): number => low + (high - low) * random();
  const valueAt = values?.[name] ?? (whole ? () => Math.floor(draw()) : draw);
  const data = hostArray(dtype, size);
  for (let i = 0; i < size; i++) data[i] = dtype === 'f16' ? numberToHalf(valueAt(i)) : valueAt(i);
  return data;
};

/** `input` nodes and values for a sample of an op: the same for the same seed, within its ranges, by its `values` where it has some. */
export const sampleInputs = (op: AnyOp, sample: AnySample, seed: number): SampleInputs => {
  const tensors: Record<string, Tensor> = {};
  const feeds: Record<string, TypedArray> = {};
  for (const name of inputNames(op)) {
    const shape = sample.shapes[name];
    if (!shape) continue;
    const dtype = sample.dtypes?.[name] ?? 'f32';
    tensors[name] = input(name, shape, dtype);
    feeds[name] = sampleData(sample, name, dtype, sizeOf(shape), randomSource(seed, `${op.name}/${name}`));
  }
  return { tensors, feeds };
};

/** The outputs of an op with a sample's attributes over given inputs. */
export const sampleOutputs = (op: AnyOp, sample: AnySample, tensors: Readonly<Record<string, Tensor>>): Tensor[] => {
  const node = applyOp(
    op,
    inputNames(op).map((name) => tensors[name] ?? null),
    sample.attrs ?? {},
  );
  return node.outs.map((_, i) => outputOf(node, i));
};

/** A sample as the title of a test: its shapes, dtypes other than f32, and attributes. */
export const sampleTitle = ({ shapes, dtypes, attrs }: AnySample): string =>
  [
    ...Object.entries(shapes).map(([name, shape]) => `${name} [${shape}]${dtypes?.[name] ? ` ${dtypes[name]}` : ''}`),
    ...(attrs === undefined ? [] : [JSON.stringify(attrs)]),
  ].join(' ');
