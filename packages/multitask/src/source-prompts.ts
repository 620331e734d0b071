import { type Option, type Scope, zeros } from '@peftjs/core';
import { isPromptSnapshot, type PromptSnapshot, trainedRows } from '@peftjs/prompts';
import { constant, gather, PeftError, reshape, type Tensor } from '@peftjs/tensor';

/** How many prompts there are, of how many rows, of which width: what a file says of those that it holds. */
type SourceShape = readonly [prompts: number, length: number, width: number];

/** Prompts that were trained before, one a task. */
export type Sources = readonly PromptSnapshot[];

/** More values than any file has: it may say any numbers, and nothing of that size is made. */
const most = 2 ** 31;

const isShape = (v: unknown): v is SourceShape =>
  Array.isArray(v) &&
  v.length === 3 &&
  v.every((n) => Number.isSafeInteger(n) && n >= 1) &&
  v.reduce((a: number, b: number) => a * b, 1) <= most;

/** The option of prompts that a method learns from, of which a file tells the shape. */
export const sourcesOption = (method: string): Option<Sources> => ({
  key: 'source_shape',
  fallback: () => {
    throw new PeftError('bad-option', `${method}: sources must be given: [await snapshot(adapted, { executor }), …]`);
  },
  expected: 'one or more snapshots of prompts',
  accepts: (v) => (Array.isArray(v) && v.length > 0 && v.every(isPromptSnapshot)) || isShape(v),
  toJson: (sources) => [...shapeOf(method, sources)],
});

/** The shape of all prompts together. Throws `bad-option` where one has another shape than the first. */
export const shapeOf = (method: string, sources: Sources | SourceShape): SourceShape => {
  if (isShape(sources)) return sources;
  const [first] = sources as Sources;
  trainedRows(`${method}: sources 0`, first!);
  const [length, width] = first!.state.get('prompt_embeddings')!.shape as readonly [number, number];
  return [sources.length, length, width];
};

/** Their values, [prompts, length, width], which are saved with the adapter. */
export const sourceRows = (method: string, scope: Scope, sources: Sources | SourceShape): Tensor => {
  const shape = shapeOf(method, sources);
  const known = isShape(sources)
    ? zeros // a file has them
    : constant(
        Float32Array.from(sources.flatMap((s, i) => [...trainedRows(`${method}: sources ${i}`, s, shape.slice(1))])),
        shape,
      );
  return scope.buffer('source_embeddings', shape, known);
};

/** The prompt of each row's task, in a row: [rows, length · width]; tasks i32 [rows]. */
export const promptsOf = (sources: Tensor, tasks: Tensor): Tensor =>
  gather(reshape(sources, [sources.shape[0]!, -1]), tasks);
