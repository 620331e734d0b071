import { cpu } from '@peftjs/onnx';
import { type Executor, reference } from '@peftjs/tensor';

/** The executors that goldens are checked on. */
export const executors: readonly (readonly [name: string, open: () => Promise<Executor>])[] = [
  ['reference', async () => reference()],
  ['cpu', () => cpu({ threads: 1 })],
];
