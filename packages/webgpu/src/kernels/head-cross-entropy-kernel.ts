import type { DeviceFacts, Dispatch } from '../kernel.ts';
import {
  clearRows,
  gatherRows,
  listLabelled,
  meanLoss,
  rowLosses,
  scatterLosses,
  scatterRows,
} from './head-cross-entropy-passes.ts';
import type { KernelFor } from './kernel-for.ts';
import { matmulPlan } from './matmul-plan.ts';
import type { MatmulProblem } from './matmul-problem.ts';

/** Bytes of logits at a time, at most, unless one row is more. */
const logitBytes = 32 * 2 ** 20;

/** Collects dispatches and the largest size asked for each temporary. */
const recorder = (device: DeviceFacts) => {
  const dispatches: Dispatch[] = [];
  const temps: Record<string, number> = {};
  return {
    dispatches,
    temps,
    add: (...passes: Dispatch[]): void => void dispatches.push(...passes),
    matmul: (problem: MatmulProblem): void => {
      const plan = matmulPlan(problem, device);
      dispatches.push(...plan.dispatches);
      for (const [name, bytes] of Object.entries(plan.temps ?? {})) temps[name] = Math.max(temps[name] ?? 0, bytes);
    },
  };
};

type Plan = Extract<KernelFor<'head_cross_entropy'>, { readonly kind: 'dispatch' }>['plan'];

/** Which results are read, and whether losses are of each row or their mean. */
interface Wanted {
  readonly loss: boolean;
  readonly dHidden: boolean;
  readonly dWeight: boolean;
  readonly byRow: boolean;
}

/**
 * Lists the labelled rows, then takes them a chunk at a time: gather, logits, losses with gradients of the logits in place, dHidden, dWeight.
 * The count is known on the device only, so every pass is started for all rows and those past the count return at once.
 */
const planHead = (
  { inputs }: Pick<Parameters<Plan>[0], 'inputs'>,
  { ignoreIndex, chunk: asked }: Parameters<Plan>[1],
  device: DeviceFacts,
  { loss, dHidden, dWeight, byRow }: Wanted,
): ReturnType<Plan> => {
  const [rows, dim] = inputs.hidden!.shape as [number, number];
  const vocabulary = inputs.weight!.shape[0]!;
  const weight = inputs.scale
    ? { buffer: 'weight', packing: { format: 'sint8' as const, scales: 'scale', block: dim }, pitch: dim }
    : { buffer: 'weight', half: inputs.weight!.dtype === 'f16' };
  const chunk = Math.max(
    1,
    Math.min(
      asked,
      rows,
      Math.floor(Math.min(logitBytes, device.maxBindingBytes ?? logitBytes) / (4 * Math.max(1, vocabulary))),
    ),
  );
  const { dispatches, temps, add, matmul } = recorder(device);
  Object.assign(temps, {
    counts: 4 * (rows + 1),
    picked: 4 * chunk * dim,
    logits: 4 * chunk * vocabulary,
    losses: 4 * Math.max(1, rows),
  });
  add(listLabelled(rows, vocabulary, ignoreIndex));
  if (dHidden) {
    temps['dPicked'] = 4 * chunk * dim;
    add(clearRows('out1', rows * dim));
  }
  if (dWeight && rows === 0) add(clearRows('out2', vocabulary * dim));
  for (let first = 0; first < rows; first += chunk) {
    const m = Math.min(chunk, rows - first);
    const limit = { counts: 'counts', first };
    const logits = { buffer: 'logits' };
    add(gatherRows({ first, rows: m, dim }));
    matmul({
      label: 'logits',
      m,
      n: vocabulary,
      k: dim,
      a: { buffer: 'picked' },
      b: { ...weight, transposed: true },
      out: 'logits',
      limit: { ...limit, axis: 'm' },
    });
    add(rowLosses({ first, rows: m, vocabulary, gradient: dHidden || dWeight, byRow }, device));
    if (dHidden) {
      matmul({
        label: 'dHidden',
        m,
        n: dim,
        k: vocabulary,
        a: logits,
        b: weight,
        out: 'dPicked',
        limit: { ...limit, axis: 'm' },
      });
      add(scatterRows({ first, rows: m, dim }));
    }
    if (dWeight)
      matmul({
        label: 'dWeight',
        m: vocabulary,
        n: dim,
        k: m,
        a: { ...logits, transposed: true },
        b: { buffer: 'picked' },
        out: 'out2',
        accumulate: first > 0,
        limit: { ...limit, axis: 'k' },
      });
  }
  if (loss) add(...(byRow ? [clearRows('out0', rows), scatterLosses(rows)] : [meanLoss()]));
  return { dispatches, temps };
};

/** The mean of the losses, and its gradients. */
export const headCrossEntropyKernel: KernelFor<'head_cross_entropy'> = {
  kind: 'dispatch',
  plan: (given, attrs, device) => {
    const [loss, dHidden, dWeight] = given.outs;
    return planHead(given, attrs, device, { loss: !!loss, dHidden: !!dHidden, dWeight: !!dWeight, byRow: false });
  },
};

/** The loss of each row, and its gradient by the row. */
export const headLabelLossesKernel: KernelFor<'head_label_losses'> = {
  kind: 'dispatch',
  plan: (given, attrs, device) => {
    const [losses, dHidden] = given.outs;
    return planHead(given, attrs, device, { loss: !!losses, dHidden: !!dHidden, dWeight: false, byRow: true });
  },
};
