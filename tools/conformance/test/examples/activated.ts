import { eachLinear, kaimingUniform, type Method, normal } from '@peftjs/core';
import { add, constant, equal, greater, matmul, mul, reshape, slice, type Tensor } from '@peftjs/tensor';
import { type Pass, slot } from '@peftjs/transformer';
import { example, target } from './example.ts';

/** f32 [batch, tokens, 1], 1 from the invocation on. */
const invoked = slot<Tensor>('invoked');

const since = (pass: Pass, token: number): Tensor => {
  const { ids } = pass.inputs as { ids: Tensor };
  const [batch, tokens] = ids.shape as readonly [number, number];
  const upTo = Float32Array.from({ length: tokens ** 2 }, (_, i) => (Math.floor(i / tokens) <= i % tokens ? 1 : 0));
  const hits = matmul(equal(ids, constant(Int32Array.of(token), [])), constant(upTo, [tokens, tokens]));
  const earlier = pass.recall('alora.invoked', [batch, 1]);
  const seen = greater(earlier ? add(hits, earlier) : hits, 0);
  pass.keep('alora.invoked', slice(seen, { axis: 1, start: tokens - 1, end: tokens }));
  return reshape(seen, [batch, tokens, 1]);
};

/** LoRA that acts from a token on, also where a cache holds that. Greenewald et al., 2025 (aLoRA). https://arxiv.org/abs/2504.12397 */
export const activated = (token: number): Method =>
  example('activated', (model, scope) =>
    eachLinear(model, scope, target, 'activated', (base, own) => {
      const a = own.param('a', [2, base.inDim], kaimingUniform);
      const b = own.param('b', [base.outDim, 2], normal(1));
      const delta = (x: Tensor): Tensor => matmul(matmul(x, a, { transposeB: true }), b, { transposeB: true });
      const at = (pass: Pass): Tensor => {
        if (!pass.get(invoked)) pass.put(invoked, since(pass, token));
        return pass.get(invoked)!;
      };
      return { ...base, apply: (x, call) => add(base.apply(x, call), mul(delta(x), at(call.pass))) };
    }),
  );
