import { decays, type GradientTransform, type StepContext, unscaled } from '@peftjs/core';
import {
  abs,
  add,
  checkOptions,
  div,
  greater,
  maximum,
  minimum,
  mul,
  mustBe,
  neg,
  PeftError,
  select,
  sqrt,
  sub,
  sum,
  type Tensor,
  type Variable,
} from '@peftjs/tensor';

/** Constants of Prodigy. */
export interface ProdigyOptions {
  /** Decay of the gradient's moving average. Default 0.9. */
  readonly beta1?: number;
  /** Decay of its square's. Default 0.999. */
  readonly beta2?: number;
  /** Decay of the averages that the distance is found by. Default √β₂. */
  readonly beta3?: number;
  /** Default 1e-8. */
  readonly eps?: number;
  /** Decoupled decay of parameters with two or more axes, unless their hints say otherwise, per unit of step size. Default 0. */
  readonly weightDecay?: number;
  /** Whether Adam's bias correction is made. Default false. */
  readonly biasCorrection?: boolean;
  /** Whether the denominator leaves the learning rate out, for warm-ups. Default false. */
  readonly safeguardWarmup?: boolean;
  /** d₀, the distance to begin with. Default 1e-6. */
  readonly start?: number;
  /** Multiplies the distance that is found. Default 1. */
  readonly factor?: number;
  /** Most growth of the distance from step to step; Infinity for any. Default Infinity. */
  readonly growth?: number;
}

/** The run's one distance is kept with the parameter whose name comes first. */
const ownerOf = (params: readonly Variable[]): Variable =>
  params.reduce((first, p) => (p.node.name < first.node.name ? p : first));

const refuseRates = (params: readonly Variable[], step: StepContext): void => {
  const odd = params.find((param) => (step.hint(param).rate ?? 1) !== 1);
  if (odd)
    throw new PeftError(
      'bad-option',
      `prodigy: ${odd.node.name} has a learning rate of its own, ${step.hint(odd).rate} times the run's, but one step size is found for all; use another optimiser, or the method without such a rate`,
    );
};

/**
 * Prodigy: AdamW that finds its step size d as it learns, a lower bound of the distance from the beginning to the solution. With the rate lr, a factor that is 1 unless a schedule says otherwise,
 * n ← β₃n + (d/d₀)·d·lr·Σ⟨g, p₀ − p⟩, s ← β₃s + (d/d₀)·d·lr·g, d ← max(d, n / Σ|s|), m ← β₁m + (1−β₁)d·g, v ← β₂v + (1−β₂)d²g², p ← p − d·lr·(m/(√v + dε) + λp), where the new d is in
 * dε alone. A step of rate 0 changes nothing. Mishchenko & Defazio, 2023. https://arxiv.org/abs/2306.06101, https://github.com/konstmish/prodigy. Throws `bad-option`, also for parameters with rates of their own.
 */
export const prodigy = (options: ProdigyOptions = {}): GradientTransform => {
  checkOptions(
    'prodigy',
    {
      beta1: mustBe.rate,
      beta2: mustBe.rate,
      beta3: mustBe.rate,
      eps: mustBe.positive,
      weightDecay: mustBe.notNegative,
      biasCorrection: mustBe.flag,
      safeguardWarmup: mustBe.flag,
      start: mustBe.positive,
      factor: mustBe.positive,
      growth: mustBe.such('a number of at least 1', (v) => typeof v === 'number' && v >= 1),
    },
    options,
  );
  const { beta1 = 0.9, beta2 = 0.999, beta3 = Math.sqrt(beta2), eps = 1e-8, weightDecay = 0 } = options;
  const { biasCorrection = false, safeguardWarmup = false, start = 1e-6, factor = 1 } = options;
  const { growth = Number.POSITIVE_INFINITY } = options;
  return {
    name: 'prodigy',
    steps: true,
    rate: 1,
    update: (gradients, step) => {
      const all = [...unscaled(gradients)].toSorted(([a], [b]) => (a.node.name < b.node.name ? -1 : 1));
      const params = all.map(([param]) => param);
      refuseRates(params, step);
      const owner = ownerOf(params);
      // What is kept begins at 0, the distance at d₀.
      const [distance, largest, numerator] = ['d', 'dMax', 'numerator'].map((name) => step.state(owner, name, [])) as [
        Variable,
        Variable,
        Variable,
      ];
      const d = maximum(distance, start);
      const corrected = biasCorrection
        ? mul(
            step.rate,
            step.feed('correction', [], (at) =>
              Float32Array.of(Math.sqrt(1 - beta2 ** (at + 1)) / (1 - beta1 ** (at + 1))),
            ),
          )
        : step.rate;
      const size = mul(d, corrected);
      const relative = div(d, start);
      const moves = greater(step.rate, 0);
      const kept = (variable: Variable, now: Tensor): readonly [Variable, Tensor] => [
        variable,
        select(moves, now, variable),
      ];
      const parts = all.map(([param, g]) => {
        const of = (name: string): Variable => step.state(param, name);
        const begun = step.state(param, 'begun', []);
        const first = select(begun, of('p0'), param);
        const s = add(mul(of('s'), beta3), mul(g, mul(relative, safeguardWarmup ? d : size)));
        const m = add(mul(of('m'), beta1), mul(g, mul(d, 1 - beta1)));
        const v = add(mul(of('v'), beta2), mul(mul(g, g), mul(mul(d, d), 1 - beta2)));
        const state = [
          kept(of('p0'), first),
          kept(begun, maximum(begun, 1)),
          kept(of('s'), s),
          kept(of('m'), m),
          kept(of('v'), v),
        ];
        return { param, m, v, state, ahead: sum(mul(g, sub(first, param))), length: sum(abs(s)) };
      });
      const total = (values: readonly Tensor[]): Tensor => values.reduce((a, b) => add(a, b));
      const ahead = mul(mul(relative, size), total(parts.map((part) => part.ahead)));
      const n = add(mul(numerator, beta3), ahead);
      const found = mul(div(n, maximum(total(parts.map((part) => part.length)), 1e-38)), factor);
      const grown = select(greater(d, start), d, maximum(d, found));
      const most = maximum(maximum(largest, start), found);
      const next = growth === Number.POSITIVE_INFINITY ? most : minimum(most, mul(grown, growth));
      const changes = parts.map(({ param, m, v }) => {
        const direction = div(m, add(sqrt(v), mul(next, eps)));
        if (weightDecay === 0 || !decays(step, param)) return [param, mul(neg(size), direction)] as const;
        return [param, mul(neg(size), add(direction, mul(param, weightDecay)))] as const;
      });
      return {
        values: new Map(changes),
        state: [kept(distance, next), kept(largest, most), kept(numerator, n), ...parts.flatMap(({ state }) => state)],
      };
    },
  };
};
