import type { Binding, Dispatch } from '../kernel.ts';
import { foldWorkgroups, type Launch } from './fold.ts';
import type { Pipeline } from './pipelines.ts';
import { paramBytes, type Shader, shaderOf, writeParams } from './shader.ts';
import { shareBindings } from './share-binding.ts';
import type { Step } from './steps.ts';
import type { Value } from './values.ts';

/** The least work of a launch. */
export interface Work {
  readonly flops: number;
  /** Read and written. */
  readonly bytes: number;
}

/** A kernel ready to be bound: one launch of it. `P` is what its text was compiled to. */
export interface LaunchCommand<P = Pipeline> {
  readonly kind: 'launch';
  readonly label: string;
  readonly pipeline: P;
  readonly launch: Launch;
  /** In binding order. */
  readonly values: readonly Value[];
  /** The part of each that is bound; undefined where it is all. */
  readonly windows: readonly Binding['window'][];
  readonly params: { readonly at: number; readonly bytes: number };
  readonly work: Work;
}

/** A copy of a value's bytes. */
export interface CopyCommand {
  readonly kind: 'copy';
  readonly from: Value;
  readonly to: Value;
  readonly bytes: number;
}

/** Zeros. */
export interface ClearCommand {
  readonly kind: 'clear';
  readonly to: Value;
}

/** The commands of each step, and the contents of the one buffer that holds all parameters. */
export interface Commands<P = Pipeline> {
  readonly byStep: readonly (readonly Command<P>[])[];
  readonly params: Uint8Array<ArrayBuffer>;
}

/** One thing that a run does. */
export type Command<P = Pipeline> = LaunchCommand<P> | CopyCommand | ClearCommand;

/** Device facts that commands depend on. */
export interface CommandLimits {
  readonly maxWorkgroups: number;
  readonly uniformAlignment: number;
}

interface PendingLaunch {
  readonly dispatch: Dispatch;
  readonly launch: Launch;
  readonly at: number;
}

/** Compiles the kernels of all steps, at once, and lays out their parameters. */
export const prepareCommands = async <P>(
  steps: readonly Step[],
  resolve: (value: Value) => Value,
  compile: (shader: Shader, label: string) => Promise<P>,
  { maxWorkgroups, uniformAlignment }: CommandLimits,
): Promise<Commands<P>> => {
  let size = 0;
  const pending: PendingLaunch[] = [];
  const reserve = (dispatch: Dispatch, launch: Launch): LaunchCommand['params'] => {
    const params = { at: size, bytes: paramBytes(dispatch) };
    pending.push({ dispatch, launch, at: size });
    size += Math.ceil(params.bytes / uniformAlignment) * uniformAlignment;
    return params;
  };
  const byStep = await Promise.all(
    steps.map(async (step): Promise<Command<P>[]> => {
      if (step.kind === 'copy') {
        const [from, to] = [resolve(step.from), resolve(step.to)];
        return from === to ? [] : [{ kind: 'copy', from, to, bytes: step.bytes ?? to.bytes }];
      }
      if (step.kind === 'clear') return [{ kind: 'clear', to: resolve(step.to) }];
      const { label, values } = step;
      const dispatch = shareBindings(step.dispatch, (a, b) => resolve(values[a]!) === resolve(values[b]!));
      const launches = foldWorkgroups(dispatch.workgroups, maxWorkgroups).map((launch) => ({
        launch,
        params: reserve(dispatch, launch),
      }));
      const pipeline = await compile(shaderOf(dispatch), label);
      const bytes = dispatch.bindings.reduce((n, { buffer, window }) => n + (window ?? values[buffer]!).bytes, 0);
      const windows = dispatch.bindings.map((b) => b.window);
      const bound = dispatch.bindings.map((b) => resolve(values[b.buffer]!));
      return launches.map(({ launch, params }) => {
        const part = (launch.x * launch.y) / dispatch.workgroups;
        const work = { flops: step.flops * part, bytes: bytes * part };
        return { kind: 'launch', label, pipeline, launch, values: bound, windows, params, work };
      });
    }),
  );
  const params = new Uint8Array(size);
  for (const { dispatch, launch, at } of pending) writeParams(new DataView(params.buffer), at, dispatch, launch);
  return { byStep, params };
};
