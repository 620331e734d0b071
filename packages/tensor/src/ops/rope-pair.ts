import { defineOp, type Op } from '../define-op.ts';
import type { Tensor } from '../graph.ts';
import { type Spec, sizeOf } from '../shape.ts';
import { add } from './add.ts';
import { angleGrads, checkRope, type RopeAttrs, rope, rotate } from './rope.ts';

type Inputs = readonly ['q', 'k', 'cos', 'sin'];

const both = (a: Tensor | undefined, b: Tensor | undefined): Tensor | undefined => (a && b ? add(a, b) : (a ?? b));

/**
 * `rope` of queries and keys in one pass: [rope(q, cos, sin), rope(k, cos, sin)], whose numbers of heads may differ.
 * q [batch, heads, tokens, headDim], k [batch, groups, tokens, headDim]. Throws `bad-shape`, `bad-dtype`.
 */
export const ropePair: Op<'rope_pair', Inputs, readonly [], RopeAttrs, readonly [Spec, Spec]> = defineOp({
  name: 'rope_pair',
  inputs: ['q', 'k', 'cos', 'sin'],
  infer: ({ q, k, cos, sin }): readonly [Spec, Spec] => [
    checkRope('ropePair', { x: q, cos, sin }),
    checkRope('ropePair', { x: k, cos, sin }),
  ],
  vjp: ({ q, k, cos, sin, dys: [dq, dk] }, { inverse = false }) => {
    const back = { inverse: !inverse };
    const [ofQ, ofK] = [dq && angleGrads(q, dq, cos, sin, inverse), dk && angleGrads(k, dk, cos, sin, inverse)];
    const angles = { cos: both(ofQ?.cos, ofK?.cos), sin: both(ofQ?.sin, ofK?.sin) };
    if (dq && dk) {
      const [backQ, backK] = ropePair(dq, dk, cos, sin, back);
      return { q: backQ, k: backK, ...angles };
    }
    return { q: dq && rope(dq, cos, sin, back), k: dk && rope(dk, cos, sin, back), ...angles };
  },
  reference: ({ q, k, cos, sin }, specs, attrs) => [
    rotate(q, specs.q, cos, sin, specs.cos, attrs),
    rotate(k, specs.k, cos, sin, specs.cos, attrs),
  ],
  flops: ({ q, k }) => 3 * (sizeOf(q.shape) + sizeOf(k.shape)),
  samples: [
    { shapes: { q: [2, 3, 5, 6], k: [2, 3, 5, 6], cos: [5, 3], sin: [5, 3] } },
    { shapes: { q: [2, 4, 7, 10], k: [2, 2, 7, 10], cos: [2, 7, 5], sin: [2, 7, 5] } },
    { shapes: { q: [2, 4, 7, 10], k: [2, 1, 7, 10], cos: [7, 5], sin: [7, 5] }, attrs: { inverse: true } },
    { shapes: { q: [1, 2, 0, 4], k: [1, 1, 0, 4], cos: [0, 2], sin: [0, 2] } },
  ],
});
