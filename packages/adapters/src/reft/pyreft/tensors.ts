import { type Files, openTorch, type TensorReader } from '@peftjs/io';
import { type Shape, sameShape } from '@peftjs/tensor';
import type { PyreftClass } from './config.ts';
import { completed, orthogonalFrom, skewOf } from './orthogonal-values.ts';

/** A tensor of an intervention. */
export interface UnitTensor {
  readonly shape: Shape;
  readonly data: Float32Array;
}

/** The tensors of an intervention by their names here, as after `units.0.`. */
export interface Unit {
  readonly rank: number;
  readonly state: ReadonlyMap<string, UnitTensor>;
}

/** Facts of an intervention before its file is read: its class, the width of the model, whether f is the identity. */
export interface UnitKind {
  readonly kind: PyreftClass;
  readonly d: number;
  readonly isLinear: boolean;
}

/** Sizes of an intervention: its rank and the width of the model. */
interface Sizes {
  readonly r: number;
  readonly d: number;
}

type Shapes = Readonly<Record<string, Shape>>;

/** Tensors that a file of pyreft must hold. */
const shapesOf = (kind: PyreftClass, { r, d }: Sizes): Shapes => {
  if (kind === 'LoreftIntervention') return { weight: [r, d], bias: [r], rotate_layer: [d, r] };
  const source = { 'learned_source.weight': [r, d], 'learned_source.bias': [r] };
  if (kind !== 'DireftIntervention') return { ...source, 'proj_layer.weight': [r, d] };
  const rotation = 'rotate_layer.parametrizations.weight';
  return { ...source, [`${rotation}.original`]: [d, r], [`${rotation}.0.base`]: [d, d] };
};

/** Tensors that it may hold besides: a bias of the projection, and widths, which pyvene keeps as tensors. */
const optional: readonly string[] = ['proj_layer.bias', 'embed_dim', 'interchange_dim'];

/** The rank that a file's tensors have. */
const rankIn = (file: TensorReader, kind: PyreftClass): number | undefined =>
  file.tensors.get(kind === 'LoreftIntervention' ? 'weight' : 'learned_source.weight')?.shape[0];

/** [columns, rows] of values [rows, columns]. */
const transposed = (values: Float32Array, rows: number, columns: number): Float32Array =>
  Float32Array.from({ length: values.length }, (_, i) => values[(i % rows) * columns + Math.floor(i / rows)]!);

/** How far the columns of a rotation may be from orthonormal: what bf16 does to them. */
const mostSkew = 1e-2;

/** Values by their names in a file. */
type Values = ReadonlyMap<string, Float32Array>;

/** P and what it is made of, by our names. Problems go to `problems`. */
const projectionOf = (kind: PyreftClass, values: Values, { r, d }: Sizes, problems: string[]): Unit['state'] => {
  if (kind === 'LoreftIntervention') {
    const rows = transposed(values.get('rotate_layer')!, d, r);
    const skew = skewOf(rows, r, d);
    if (skew > mostSkew) problems.push(`the columns of rotate_layer must be orthonormal, but are ${skew} away from it`);
    const minusEye = Float32Array.from({ length: r * d }, (_, i) => (Math.floor(i / d) === i % d ? -1 : 0));
    return new Map([
      ['projection.parametrizations.weight.original', { shape: [r, d], data: minusEye }],
      ['projection.parametrizations.weight.0.base', { shape: [d, d], data: completed(rows, r, d) }],
    ]);
  }
  const rotation = 'rotate_layer.parametrizations.weight';
  const rows =
    kind === 'DireftIntervention'
      ? orthogonalFrom(values.get(`${rotation}.original`)!, values.get(`${rotation}.0.base`)!, r, d)
      : values.get('proj_layer.weight')!;
  return new Map([['projection.weight', { shape: [r, d], data: rows }]]);
};

/** b, less the projection's bias where f is the identity, as then f(W x + b) − (P x + c) = W x + (b − c) − P x. */
const biasOf = (kind: PyreftClass, values: Values, isLinear: boolean, problems: string[]): Float32Array => {
  const bias = values.get(kind === 'LoreftIntervention' ? 'bias' : 'learned_source.bias')!;
  const own = kind === 'NoreftIntervention' ? values.get('proj_layer.bias') : undefined;
  if (!own || own.every((v) => v === 0)) return bias;
  if (!isLinear) problems.push('proj_layer has a bias, which is computed here with the activation linear alone');
  return bias.map((v, i) => v - own[i]!);
};

/** The names of the tensors that are to be read. What is missing, left over or of another shape goes to `problems`. */
const namesIn = (file: TensorReader, kind: PyreftClass, { r, d }: Sizes, problems: string[]): readonly string[] => {
  const needed: Shapes = shapesOf(kind, { r, d });
  const wanted: Shapes = file.tensors.has('proj_layer.bias') ? { ...needed, 'proj_layer.bias': [r] } : needed;
  for (const [name, shape] of Object.entries(wanted)) {
    const found = file.tensors.get(name);
    if (!found) problems.push(`${name} is missing`);
    else if (!sameShape(found.shape, shape)) problems.push(`${name} is [${found.shape}], not [${shape}]`);
  }
  const odd = [...file.tensors.keys()].filter((name) => !Object.hasOwn(needed, name) && !optional.includes(name));
  if (odd.length > 0) problems.push(`a ${kind} has no ${odd.join(', ')}`);
  if (r < 1 || r >= d) problems.push(`its rank ${r} must be at least 1 and below the width ${d}`);
  return Object.keys(wanted);
};

const unitOf = async (
  file: TensorReader,
  { kind, d, isLinear }: UnitKind,
  problems: string[],
): Promise<Unit | null> => {
  const r = rankIn(file, kind) ?? 0;
  const names = namesIn(file, kind, { r, d }, problems);
  if (problems.length > 0) return null;
  const values = new Map<string, Float32Array>();
  for (const name of names) values.set(name, await file.readFloat32(name));
  const infinite = [...values].filter(([, data]) => !data.every(Number.isFinite)).map(([name]) => name);
  if (infinite.length > 0) problems.push(`${infinite.join(', ')} must be finite, but holds NaN or Infinity`);
  if (problems.length > 0) return null;
  const weight = values.get(kind === 'LoreftIntervention' ? 'weight' : 'learned_source.weight')!;
  const state = new Map<string, UnitTensor>([
    ['learned_source.weight', { shape: [r, d], data: weight }],
    ['learned_source.bias', { shape: [r], data: biasOf(kind, values, isLinear, problems) }],
    ...projectionOf(kind, values, { r, d }, problems),
  ]);
  return problems.length === 0 ? { rank: r, state } : null;
};

/** The intervention in a file; null where it is not sound, which goes to `problems`. Throws `file-missing`, `bad-torch`. */
export const readUnit = async (files: Files, path: string, of: UnitKind, problems: string[]): Promise<Unit | null> => {
  const file = await openTorch({ files, path });
  try {
    const own: string[] = [];
    const unit = await unitOf(file, of, own);
    problems.push(...own.map((problem) => `${path}: ${problem}`));
    return unit;
  } finally {
    await file.close();
  }
};
