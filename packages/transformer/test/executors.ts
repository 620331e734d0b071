import { cpu } from '@peftjs/onnx';
import { type Executor, reference } from '@peftjs/tensor';
import { afterAll } from 'vitest';

/** The executors that every test of numbers runs on; f32 rounds where double precision does not. */
export const executors: readonly (readonly [name: string, open: () => Promise<Executor>])[] = [
  ['reference', async () => reference()],
  ['cpu', () => cpu({ threads: 1 })],
];

/** One executor of each kind per file, opened when first asked for. */
export const shared = (open: () => Promise<Executor>): (() => Promise<Executor>) => {
  let opened: Promise<Executor> | undefined;
  afterAll(async () => (await opened)?.close());
  return () => (opened ??= open());
};
