import { type Method, ones } from '@peftjs/core';
import { add, mul, reshape, sub, type Tensor } from '@peftjs/tensor';
import type { Dense, Linear } from '@peftjs/transformer';
import { gatedPatch } from '../gated/gated-patch.ts';

/** from + gate·(to − from), with none standing for zeros. */
const between = (from: Tensor | null, to: Tensor | null, gate: Tensor): Tensor | null => {
  if (!to) return from && mul(from, sub(1, gate));
  return from ? add(from, mul(sub(to, from), gate)) : mul(to, gate);
};

/** The weights of a layer between two, so that what stands around it may ask for them. */
const denseBetween = (from: Linear, to: Linear, gate: Tensor) => (): Dense => {
  const [before, after] = [from.dense(), to.dense()];
  return {
    weight: between(before.weight, after.weight, gate)!,
    bias: between(before.bias, after.bias, gate),
  };
};

/** A method whose changes count as far as its trained number `gate` says, the same everywhere: y = base + gate·(method − base). To look at, not to be saved. */
export const weighed = (method: Method): Method => ({
  name: `weighed ${method.name}`,
  merges: false,
  attach: (model, scope) => {
    const gate = scope.param('gate', [1], ones);
    const patch = method.attach(model, scope);
    const gated = gatedPatch(model, patch, () => () => reshape(gate, [1, 1, 1]));
    const linear = [...(patch.linear ?? [])].map(
      ([path, wrap]) =>
        [
          path,
          (base: Linear): Linear => ({
            ...gated.linear!.get(path)!(base),
            dense: denseBetween(base, wrap(base), gate),
          }),
        ] as const,
    );
    return { ...gated, linear: new Map(linear) };
  },
  config: () => ({}),
});
