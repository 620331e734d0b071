import { beforeAll, describe, expect, test } from 'vitest';
import { gpus, peakFlops } from '../src/roofline/gpus.ts';
import { models } from '../src/roofline/models.ts';
import { planStep, type StepShape } from '../src/roofline/plan-step.ts';
import { boundOn, type PlannedStep } from '../src/roofline/roofline.ts';

const [smol] = models as [(typeof models)[number]];
const sizes = { hidden: 576, layers: 30, kv: 192, inner: 1536, vocabulary: 49152 };
const shape = { batch: 2, tokens: 256, rank: 16 };
const rows = shape.batch * shape.tokens;

/** [in, out] of a block's linear layers. */
const linears: readonly (readonly [number, number])[] = [
  [sizes.hidden, sizes.hidden],
  [sizes.hidden, sizes.kv],
  [sizes.hidden, sizes.kv],
  [sizes.hidden, sizes.hidden],
  [sizes.hidden, sizes.inner],
  [sizes.hidden, sizes.inner],
  [sizes.inner, sizes.hidden],
];
const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);
const blockWeights = sizes.layers * sum(linears.map(([i, o]) => i * o));
const loraWeights = sizes.layers * shape.rank * sum(linears.map(([i, o]) => i + o));
/** Of a query and a key that it sees: half of all. */
const pairs = (sizes.layers * 9 * shape.batch * shape.tokens * (shape.tokens + 1)) / 2;
const headWeights = sizes.vocabulary * sizes.hidden;

const plan = async (more: Pick<StepShape, 'isQuantized' | 'isCheckpointed'>): Promise<PlannedStep> => {
  const own = { ...shape, ...more };
  return { model: smol, shape: own, plan: await planStep(await smol.config(), own) };
};

describe('the roofline of SmolLM2-135M', () => {
  let [plain, checkpointed, quantized] = [] as unknown as PlannedStep[];
  beforeAll(async () => {
    plain = await plan({ isQuantized: false, isCheckpointed: false });
    checkpointed = await plan({ isQuantized: false, isCheckpointed: true });
    quantized = await plan({ isQuantized: true, isCheckpointed: true });
  }, 240_000);

  test('the model has the parameters that its name says', () => {
    expect((blockWeights + headWeights) / 1e6).toBeCloseTo(134.5, 0);
  });

  test('operations are those of the formula within 3 %', () => {
    // Frozen weights: forward, and the gradient to the input. Trained ones: the gradient to themselves too. The head: logits, and dHidden.
    const products = 2 * rows * (2 * blockWeights + 3 * loraWeights + 2 * headWeights);
    // Forward q·k and w·v; backward the scores again in three kernels, and four gradients.
    const attention = pairs * 64 * (4 + 14);
    expect(plain!.plan.flops / (products + attention)).toBeGreaterThan(1);
    expect(plain!.plan.flops / (products + attention)).toBeLessThan(1.03);
  });

  test('checkpointing runs the blocks forward once more, and holds less', () => {
    // All but the end of each, which no gradient needs: the product of down_proj, and of its B.
    const end = sizes.layers * sizes.hidden * (sizes.inner + shape.rank);
    const again = 2 * rows * (blockWeights + loraWeights - end) + 4 * 64 * pairs;
    const extra = checkpointed!.plan.flops - plain!.plan.flops;
    expect(extra / again).toBeGreaterThan(1);
    expect(extra / again).toBeLessThan(1.03);
    expect(checkpointed!.plan.peakBytes).toBeLessThan(0.8 * plain!.plan.peakBytes);
  });

  test('memory holds weights, adapter and moments, and NF4 saves what its bits say', () => {
    const held = 4 * (blockWeights + headWeights + 3 * loraWeights);
    expect(checkpointed!.plan.peakBytes).toBeGreaterThan(held);
    expect(checkpointed!.plan.peakBytes).toBeLessThan(1.5 * held);
    const saved = checkpointed!.plan.peakBytes - quantized!.plan.peakBytes;
    expect(saved / (blockWeights * (4 - 4.127 / 8))).toBeCloseTo(1, 2);
  });

  test('traffic is more than to read all weights twice', () => {
    expect(plain!.plan.bytesMoved).toBeGreaterThan(2 * 4 * blockWeights);
    expect(plain!.plan.dispatches).toBeGreaterThan(30 * 7 * 4);
  });

  test('a step lasts as long as the slower of arithmetic and traffic', () => {
    const [laptop, desktop] = gpus as [(typeof gpus)[number], (typeof gpus)[number]];
    expect(peakFlops(desktop) / 1e12).toBeCloseTo(82.6, 1);
    for (const gpu of [laptop, desktop]) {
      const { computeMs, bandwidthMs, tokensPerSecond, fits } = boundOn(gpu, plain!);
      expect(Math.max(computeMs, bandwidthMs)).toBeCloseTo((1000 * rows) / tokensPerSecond, 6);
      expect(fits).toBe(true);
    }
    expect(boundOn({ ...laptop, memoryBytes: 2 ** 29 }, plain!).fits).toBe(false);
  });
});
