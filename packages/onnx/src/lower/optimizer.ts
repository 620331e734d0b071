import type { Value } from './emitter.ts';
import type { Rule } from './rule.ts';

/** One step, as the record defines it; the cpu executor does most steps on the host instead (cpu/adamw.ts). */
export const adamw: Rule<'weight' | 'grad' | 'm' | 'v' | 'hyper'> = ({ g, weight, grad, m, v, hyper }) => {
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
  const moves = g.truth(gradScale);
  const unlessSkipped = (now: Value, before: Value): Value => g.where(moves, now, before, before.shape);
  return [unlessSkipped(call('Sub', weight, change), weight), unlessSkipped(m1, m), unlessSkipped(v1, v)];
};
