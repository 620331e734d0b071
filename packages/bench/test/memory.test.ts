import { attach } from '@peftjs/core';
import { lora } from '@peftjs/lora';
import { nf4, quantize } from '@peftjs/quant';
import type { Plan } from '@peftjs/tensor';
import { beforeAll, describe, expect, test } from 'vitest';
import { randomModel } from '../src/data/random-model.ts';
import { planTraining } from '../src/roofline/plan-step.ts';
import { variantOf } from '../src/stacks/ours/variants.ts';
import { memory } from '../src/tasks/memory.ts';
import type { StepTask } from '../src/tasks/task.ts';

/** The plan of a line of the table; half as many layers, as many tokens. */
const planOf = async ({ model: shape, method, variant, batch, tokens }: StepTask): Promise<Plan> => {
  const model = await randomModel({ ...shape, layers: 3 }, tokens, 1);
  const base = method === 'qlora' ? quantize(model, nf4()) : model;
  const target = attach(base, [lora({ rank: 8, target: ['q_proj', 'v_proj'] })]);
  return planTraining(variant ? variantOf(target, variant) : target, batch, tokens);
};

const bytesOf = ({ tensors }: Plan, name: RegExp): number =>
  tensors.filter((t) => name.test(t.name)).reduce((n, t) => n + t.bytes, 0);

describe('the lines of the memory table differ in what they say', () => {
  const { batch, tokens, model } = memory[0]!;
  const logits = 4 * batch * tokens * model.vocabulary;
  const scores = 3 * 4 * batch * model.heads * tokens * tokens;
  let [baseline, head, attention, checkpoint, packed4, packing] = [] as unknown as Plan[];
  beforeAll(async () => {
    const plans: Plan[] = [];
    for (const task of memory) plans.push(await planOf(task));
    [baseline, head, attention, checkpoint, packed4, packing] = plans;
  }, 240_000);

  test('the baseline holds logits, their gradient and the scores of all layers', () => {
    expect(bytesOf(baseline!, /^log_softmax/)).toBe(logits);
    expect(bytesOf(baseline!, /scatter_add/)).toBeGreaterThanOrEqual(logits);
    expect(bytesOf(baseline!, /^softmax/)).toBe(scores);
  });

  test('the head in chunks holds a part of the logits', () => {
    expect(bytesOf(head!, /^log_softmax|scatter_add/)).toBe(0);
    expect(bytesOf(head!, /^softmax/)).toBe(scores);
    expect(baseline!.peakBytes - head!.peakBytes).toBeGreaterThan(0.9 * logits);
  });

  test('attention holds no scores', () => {
    expect(bytesOf(attention!, /softmax/)).toBe(0);
    expect(head!.peakBytes - attention!.peakBytes).toBeGreaterThan(0.8 * scores);
  });

  test('checkpointing holds what one layer needs', () => {
    const of = (plan: Plan): number => bytesOf(plan, new RegExp(`^matmul 1024x${model.inner}`));
    expect(of(attention!)).toBe(3 * 2 * 4 * batch * tokens * model.inner);
    expect(of(checkpoint!)).toBeLessThanOrEqual(of(attention!) / 3);
    expect(checkpoint!.flops).toBeGreaterThan(1.1 * attention!.flops);
  });

  test('NF4 holds codes instead of weights, packing nothing more', () => {
    const weights = (plan: Plan): number => bytesOf(plan, /_proj\.weight/);
    const ratio = weights(checkpoint!) / weights(packed4!);
    expect(ratio).toBeCloseTo(32 / 4.127, 1);
    expect(packing!.peakBytes).toBe(packed4!.peakBytes);
  });
});
