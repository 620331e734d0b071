import { type Adapted, type ByParam, type Projection, type ProjectionStep, projected } from '@peftjs/core';
import {
  add,
  constant,
  evaluate,
  normalValues,
  randomSource,
  sizeOf,
  type Tensor,
  type TypedArray,
} from '@peftjs/tensor';
import { differenceOf, mustBeNear, tolerances } from '@peftjs/tensor/testing';
import type { Model } from '@peftjs/transformer';
import type { Law } from '@peftjs/transformer/testing';
import type { MethodCase } from './row.ts';
import { subjectOf } from './subject.ts';

const scalar = (value: number): Tensor => constant(Float32Array.of(value), []);

/** New values of all parameters in the fourth step of a run, at a learning rate, of what an optimiser made of them. */
const valuesAt = (project: Projection, next: ByParam, rate: number): ByParam => {
  const step: ProjectionStep = {
    rate: scalar(rate),
    feed: (_, shape, values) => constant(values(3, rate), shape),
    within: () => step,
  };
  return projected(project, next, { ...step, finite: scalar(1) });
};

/** The parameters as an optimiser might make them: each moved at random. */
const moved = ({ params }: Adapted<Model>): ByParam =>
  new Map(
    [...params].map(([name, p]) => {
      const change = normalValues(sizeOf(p.shape), 0.1, randomSource(11, name));
      return [p, add(p, constant(change, p.shape))];
    }),
  );

const afterStep = (name: string): string => `${name} after a step`;

const byName = ({ params }: Adapted<Model>, values: ByParam): Record<string, Tensor> =>
  Object.fromEntries([...params].map(([name, p]) => [afterStep(name), values.get(p)!]));

/** The parameters after a step at random, by name; none where nothing is projected. */
export const projectedValues = (adapted: Adapted<Model>): Record<string, Tensor> =>
  adapted.project ? byName(adapted, valuesAt(adapted.project, moved(adapted), 0.05)) : {};

const law = (of: MethodCase): Law => ({
  name: 'projects what a step made of its parameters, and nothing where none was made',
  check: async () => {
    const { adapted, executor } = await subjectOf(of, { shaken: false });
    const { project, params } = adapted;
    if (!project) return;
    const still: ByParam = new Map([...params.values()].map((p) => [p, p]));
    const valuesOf = (next: ByParam, rate: number): Promise<Record<string, TypedArray>> =>
      evaluate(byName(adapted, valuesAt(project, next, rate)), { executor });
    const rested = await valuesOf(still, 0);
    for (const [name, p] of params)
      mustBeNear(`${name} after no step, at a rate of 0`, rested[afterStep(name)]!, await executor.read(p), {
        tolerance: tolerances.rounding,
        shape: p.shape,
      });
    const [got, unmoved] = [await valuesOf(moved(adapted), 0.05), await valuesOf(still, 0.05)];
    const lost = Object.keys(got).filter(
      (name) => differenceOf(got[name]!, unmoved[name]!, { tolerance: tolerances.rounding }) === null,
    );
    if (lost.length > 0) throw new Error(`what the optimiser did is lost: ${lost.join(', ')}`);
  },
});

/** The laws of what a method does to its parameters after each step. */
export const projectionLaws = (of: MethodCase): readonly Law[] => [law(of)];
