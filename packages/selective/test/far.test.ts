import { grad } from '@peftjs/autograd';
import { attach, type Method } from '@peftjs/core';
import { compile, type Executor, input } from '@peftjs/tensor';
import { openExecutors } from '@peftjs/testkit';
import { meanOf } from '@peftjs/transformer';
import { tinyBert } from '@peftjs/transformer/testing';
import { expect, test } from 'vitest';
import { beft, far } from '../src/index.ts';

const model = tinyBert({ hiddenSize: 64, headDim: 16, heads: 4, intermediateSize: 256, layers: 4 });
const [batch, tokens] = [16, 64];
const blocks = model.paths('block');
const mlps = model.parts(['up', 'down']).map(({ path }) => path);

interface Planned {
  readonly bytes: number;
  /** Outputs of the nonlinearity of all nodes, held at the moment when most is. */
  readonly inner: number;
}

/** The plan of a pass with gradients. */
const planned = async (method: Method, executor: Executor): Promise<Planned> => {
  const adapted = attach(model, [method]);
  const loss = meanOf(
    adapted.model.loss({ ids: input('ids', [batch, tokens], 'i32'), labels: input('labels', [batch], 'i32') }),
  );
  const gradients = grad(loss, [...adapted.params.values()]);
  const outputs = Object.fromEntries(gradients.map((g, i) => [`g${i}`, g]));
  const program = await compile({ outputs }, { executor });
  const { peakBytes: bytes, tensors } = program.plan;
  program.close();
  return { bytes, inner: tensors.filter(({ name }) => name === `gelu [${batch * tokens},256]`).length };
};

const learners = (count: number): Method =>
  far({ mask: Object.fromEntries(blocks.map((b) => [b, Array.from({ length: count }, (_, i) => 3 * i)])) });

test('the plan keeps of the inner values of an MLP those of learners alone', async () => {
  const executor = await openExecutors().get('cpu')!();
  const whole = await planned(beft({ modulesToSave: mlps }), executor);
  const some = await planned(learners(26), executor);
  expect(whole.inner).toBe(blocks.length);
  expect(some.inner).toBeLessThanOrEqual(1);
  expect(some.bytes).toBeLessThan(0.94 * whole.bytes);
});
