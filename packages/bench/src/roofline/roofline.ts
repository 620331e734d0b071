import type { Plan } from '@peftjs/tensor';
import { type GpuSheet, gpus, peakFlops } from './gpus.ts';
import { models, type PublicModel } from './models.ts';
import { planStep, type StepShape } from './plan-step.ts';

/** A planned training step. */
export interface PlannedStep {
  readonly model: PublicModel;
  readonly shape: StepShape;
  readonly plan: Plan;
}

/** The bounds that a GPU's sheet sets to a step. */
export interface Bound {
  /** Were arithmetic all that counts, and were memory traffic. */
  readonly computeMs: number;
  readonly bandwidthMs: number;
  readonly tokensPerSecond: number;
  readonly fits: boolean;
}

const size = { batch: 4, tokens: 1024, rank: 16 };

/** The steps of the table, planned one after the other. */
export const plannedSteps = async (): Promise<PlannedStep[]> => {
  const steps: PlannedStep[] = [];
  for (const model of models)
    for (const isQuantized of [false, true])
      for (const isCheckpointed of [false, true]) {
        const shape: StepShape = { ...size, isQuantized, isCheckpointed };
        steps.push({ model, shape, plan: await planStep(await model.config(), shape) });
      }
  return steps;
};

/** The roofline: a step takes at least as long as its arithmetic, and as its traffic. */
export const boundOn = (gpu: GpuSheet, { plan, shape: { batch, tokens } }: PlannedStep): Bound => {
  const computeMs = (1000 * plan.flops) / peakFlops(gpu);
  const bandwidthMs = (1000 * plan.bytesMoved) / gpu.bandwidth;
  return {
    computeMs,
    bandwidthMs,
    tokensPerSecond: (1000 * batch * tokens) / Math.max(computeMs, bandwidthMs),
    fits: plan.peakBytes <= gpu.memoryBytes,
  };
};

const nameOf = ({ model, shape }: PlannedStep): string =>
  `${model.name} ${shape.isQuantized ? 'QLoRA' : 'LoRA'}${shape.isCheckpointed ? ', checkpointing' : ''}`;

/** Operations, traffic, memory and kernels of each step. */
export const stepCells = (steps: readonly PlannedStep[]): string[][] => [
  ['step', 'TFLOP', 'GB moved', 'FLOP/byte', 'peak GiB', 'kernels'],
  ...steps.map((step) => {
    const { flops, bytesMoved, peakBytes, dispatches } = step.plan;
    return [
      nameOf(step),
      (flops / 1e12).toFixed(2),
      (bytesMoved / 1e9).toFixed(1),
      (flops / bytesMoved).toFixed(0),
      (peakBytes / 2 ** 30).toFixed(2),
      String(dispatches),
    ];
  }),
];

/** The bounds of each step on each GPU. */
export const boundCells = (steps: readonly PlannedStep[]): string[][] => [
  ['step', 'GPU', 'compute ms', 'memory ms', 'limit tokens/s', 'fits'],
  ...steps.flatMap((step) =>
    gpus.map((gpu) => {
      const { computeMs, bandwidthMs, tokensPerSecond, fits } = boundOn(gpu, step);
      return [
        nameOf(step),
        gpu.name,
        computeMs.toFixed(0),
        bandwidthMs.toFixed(0),
        Math.round(tokensPerSecond).toLocaleString('en'),
        fits ? 'yes' : 'no',
      ];
    }),
  ),
];

/** The table of the GPUs' assumed figures. */
export const gpuCells = (): string[][] => [
  ['GPU', 'memory', 'bandwidth', 'f32', 'from'],
  ...gpus.map((gpu) => [
    gpu.name,
    `${gpu.memoryBytes / 2 ** 30} GiB`,
    `${gpu.bandwidth / 1e9} GB/s`,
    `${(peakFlops(gpu) / 1e12).toFixed(1)} TFLOP/s`,
    `2 x ${gpu.cores} cores x ${gpu.clock / 1e9} GHz, ${gpu.source}`,
  ]),
];
