import { evaluate, reference } from '@peftjs/tensor';
import { ops as records } from '@peftjs/tensor/executor';
import type { AnyOp, Sample } from '@peftjs/tensor/op';
import { mustMatch, sampleInputs, sampleOutputs, sampleTitle, tolerances } from '@peftjs/tensor/testing';
import { everyWay, productSamples } from '@peftjs/webgpu/testing';

/** The outcome of running every kernel beside the reference. */
export interface KernelCheck {
  /** The adapter. */
  readonly device: string;
  /** Ops, their samples, and runs of these: each way of a product is one. */
  readonly ops: number;
  readonly samples: number;
  readonly runs: number;
  /** Ways that were taken. */
  readonly ways: readonly string[];
  /** Everything that was wrong, in words. */
  readonly failures: readonly string[];
}

type AnySample = Sample<string, unknown>;

const looseOps: Readonly<Record<string, number>> = { sin: tolerances.trigonometry, cos: tolerances.trigonometry };

/** How far products of values in f16 may be apart, whose sums have hundreds of terms. */
const looseHalf = 2e-2;

/** Every op of the tensor core with its samples, and products of more shapes. */
const subjects = (names: readonly string[]): readonly (readonly [AnyOp, readonly AnySample[]])[] =>
  (Object.values(records) as unknown as AnyOp[])
    .filter(({ name }) => names.length === 0 || names.includes(name))
    .map((op) => [op, [...(op.samples as readonly AnySample[]), ...(productSamples[op.name] ?? [])]] as const);

/**
 * Runs every sample of every op on the WebGPU adapter that is here, by every way that its kernels have there, and compares with the reference. `facts`
 * may say that the adapter is no software, so that variants for GPUs run.
 */
export const checkKernels = async (
  say: (text: string) => void,
  { names = [], asHardware = false }: { readonly names?: readonly string[]; readonly asHardware?: boolean } = {},
): Promise<KernelCheck> => {
  const { executor, description, each } = await everyWay({ adapter: 'any' }, asHardware ? { software: false } : {});
  const all = subjects(names);
  const [failures, taken] = [[] as string[], new Set<string>()];
  let [samples, runs] = [0, 0];
  for (const [op, list] of all) {
    const before = failures.length;
    for (const sample of list) {
      samples++;
      const { tensors, feeds } = sampleInputs(op, sample, 3);
      const outputs = Object.fromEntries(sampleOutputs(op, sample, tensors).map((t, i) => [`out${i}`, t]));
      const wanted = await evaluate(outputs, { executor: reference(), feeds });
      await each(async (way, rounds) => {
        runs++;
        try {
          const got = await evaluate(outputs, { executor, feeds });
          for (const [name, t] of Object.entries(outputs))
            mustMatch(name, t, got[name]!, wanted[name]!, rounds() ? looseHalf : looseOps[op.name]);
        } catch (error) {
          failures.push(`${op.name} ${sampleTitle(sample)}${way() ? ` by ${way()}` : ''}: ${(error as Error).message}`);
        }
        const name = way();
        if (name !== undefined) taken.add(name);
      });
    }
    say(`${op.name}: ${list.length} samples${failures.length > before ? `, ${failures.length - before} WRONG` : ''}`);
  }
  await executor.close();
  return { device: description, ops: all.length, samples, runs, ways: [...taken].sort(), failures };
};
