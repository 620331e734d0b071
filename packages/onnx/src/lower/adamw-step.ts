import type { Emitter, Value } from './emitter.ts';

/** One step of AdamW in f32, as long as nothing says to skip it. */
export const adamwStep = ({
  g,
  weight,
  grad,
  m,
  v,
  hyper,
}: {
  readonly g: Emitter;
  readonly weight: Value;
  readonly grad: Value;
  readonly m: Value;
  readonly v: Value;
  readonly hyper: Value;
}): { readonly weight1: Value; readonly m1: Value; readonly v1: Value; readonly moves: Value } => {
  const [rate, beta1, beta2, eps, decay, correction1, correction2, gradScale] = Array.from({ length: 8 }, (_, i) =>
    g.reshape(g.node('Slice', [hyper, g.ints([i]), g.ints([i + 1])], [1]), []),
  ) as [Value, Value, Value, Value, Value, Value, Value, Value];
  const call = (type: string, a: Value, b: Value): Value =>
    g.node(type, [a, b], a.shape.length >= b.shape.length ? a.shape : b.shape);
  const blend = (old: Value, beta: Value, next: Value): Value =>
    call('Add', call('Mul', old, beta), call('Mul', next, call('Sub', g.scalar(1), beta)));
  const scaled = call('Mul', grad, gradScale);
  const m1 = blend(m, beta1, scaled);
  const v1 = blend(v, beta2, call('Mul', scaled, scaled));
  const root = g.node('Sqrt', [call('Div', v1, correction2)], v.shape);
  const step = call('Div', call('Div', m1, correction1), call('Add', root, eps));
  const change = call('Mul', call('Add', step, call('Mul', weight, decay)), rate);
  return { weight1: call('Sub', weight, change), m1, v1, moves: g.truth(gradScale) };
};
