import { type HostInit, type Scope, targeted } from '@peftjs/core';
import { type Shape, sizeOf, slice, type Tensor } from '@peftjs/tensor';
import type { Model, Target } from '@peftjs/transformer';
import { torchUniform } from './torch-random.ts';

/** The first `end` rows or columns. */
export const first = (t: Tensor, axis: number, end: number): Tensor =>
  end === t.shape[axis] ? t : slice(t, { axis, start: 0, end });

/** U(−√(6/fanIn), √(6/fanIn)) of torch's generator, after so many other values: as Hugging Face PEFT draws the projections. */
const heUniform = (fanIn: number, seed: number, before: number): HostInit => {
  const bound = (Math.sqrt(2) / Math.sqrt(fanIn)) * Math.sqrt(3);
  return (shape) => torchUniform(sizeOf(shape), -bound, bound, seed, before);
};

/** Sizes of a pair of projections, and where their values come from. */
export interface Projections {
  /** Heads their names: `vera` makes `vera_A` and `vera_B`. */
  readonly name: string;
  /** Rows of A. */
  readonly rows: number;
  /** Columns of B. */
  readonly columns: number;
  /** Of torch's generator. */
  readonly seed: number;
  /** Whether the adapter's file holds them. */
  readonly saved: boolean;
}

/** A [rows, in] and B [out, columns], random, frozen and shared by all layers of a target: as large as the largest of them needs. */
export const sharedProjections = (
  model: Model,
  scope: Scope,
  target: Target,
  { name, rows, columns, seed, saved }: Projections,
): readonly [a: Tensor, b: Tensor] => {
  const layers = targeted(model.linears.keys(), target, name).map((path) => model.linears.get(path)!);
  const [mostIn, mostOut] = [Math.max(...layers.map((l) => l.inDim)), Math.max(...layers.map((l) => l.outDim))];
  const make = (letter: string, shape: Shape, init: HostInit): Tensor =>
    saved ? scope.buffer(`${name}_${letter}`, shape, init) : scope.running(`${name}_${letter}`, shape, init);
  return [
    make('A', [rows, mostIn], heUniform(mostIn, seed, 0)),
    make('B', [mostOut, columns], heUniform(columns, seed, rows * mostIn)),
  ];
};
