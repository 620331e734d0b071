import type { TaskModel } from '@peftjs/transformer';

/** Of the linear layers whose path is such: `values` of each, summed. For the number of values that a method trains. */
export const sumOver = (
  { linears }: TaskModel,
  paths: RegExp,
  values: (inDim: number, outDim: number) => number,
): number =>
  [...linears].reduce((n, [path, { inDim, outDim }]) => n + (paths.test(path) ? values(inDim, outDim) : 0), 0);
