import {
  add,
  broadcastTo,
  concat,
  constant,
  div,
  equal,
  maximum,
  minimum,
  mul,
  reshape,
  sigmoid,
  slice,
  softmax,
  sum,
  type Tensor,
  topK,
} from '@peftjs/tensor';
import { activations } from '../../activation.ts';
import type { Forward } from '../../forward.ts';
import { type Slot, slot } from '../../pass.ts';
import type { Path } from '../../sites.ts';
import type { Inputs, States } from '../../states.ts';
import type { TensorNeed } from '../../weights.ts';
import { layerNeeds } from '../heads.ts';
import type { DecoderConfig } from './config.ts';

/** Slope α of the sigmoid and limit c of the gate of `boundedGate`. */
export interface Bounds {
  readonly slope: number;
  readonly limit: number;
}

/** The experts that stand in place of the MLP in some layers. */
export interface ExpertsTrait {
  /** How many there are, and through how many a token goes. */
  readonly count: number;
  readonly perToken: number;
  /** Width of each one's MLP. */
  readonly width: number;
  /** Width of the MLP that all tokens go through beside those, with a gate of its own; 0 for none. */
  readonly shared: number;
  /** Whether the weights of a token's experts are made to sum to 1. */
  readonly sumsToOne: boolean;
  /** Factor of the loss that balances the experts' load; 0 for none. */
  readonly balance: number;
  /** Whether the router and all experts have biases. Default false. */
  readonly biased?: boolean;
  /** How the two halves of an expert's wide rows become one, where they alternate and are bounded; see `boundedGate`. Default: act(first) · second. */
  readonly bounds?: Bounds;
  /** Whether a layer has them. */
  at(layer: number): boolean;
}

/** Experts of all layers, whose weights sum to 1 and whose load is balanced by the usual fields, where nothing else is said; null where there are none. */
export const expertsBy = (
  { outputRouterLogits, routerAuxLossCoef = 0 }: DecoderConfig['fields'] & {},
  own: Pick<ExpertsTrait, 'count' | 'perToken' | 'width'> & Partial<ExpertsTrait>,
): ExpertsTrait | null =>
  own.count === 0
    ? null
    : { shared: 0, sumsToOne: true, balance: outputRouterLogits ? routerAuxLossCoef : 0, at: () => true, ...own };

/** Names of the layers that are there beside the router `gate`. */
const names = { gateUp: 'experts.gate_up_proj', down: 'experts.down_proj', shared: 'shared_expert' };

/** The layers of the expert that all tokens go through: name, and sizes. */
const sharedLayers = (
  hidden: number,
  width: number,
): readonly (readonly [name: string, outDim: number, inDim: number])[] => [
  [`${names.shared}.gate_proj`, width, hidden],
  [`${names.shared}.up_proj`, width, hidden],
  [`${names.shared}.down_proj`, hidden, width],
  ['shared_expert_gate', 1, hidden],
];

/** The tensors of a layer's experts, in the order of the forward pass; `path` is that of the MLP. */
export const expertNeeds = (
  path: Path,
  { hiddenSize }: DecoderConfig,
  { count, width, shared, biased = false }: ExpertsTrait,
  router: string,
): readonly (readonly [name: string, TensorNeed])[] => [
  ...layerNeeds(`${path}.${router}`, count, hiddenSize, biased),
  [`${path}.${names.gateUp}`, { shape: [count, 2 * width, hiddenSize], init: 'normal' }],
  [`${path}.${names.down}`, { shape: [count, hiddenSize, width], init: 'residual' }],
  ...(biased
    ? ([
        [`${path}.${names.gateUp}_bias`, { shape: [count, 2 * width], init: 'zeros' }],
        [`${path}.${names.down}_bias`, { shape: [count, hiddenSize], init: 'zeros' }],
      ] as const)
    : []),
  ...(shared > 0 ? sharedLayers(hiddenSize, shared) : []).flatMap(([name, outDim, inDim]) =>
    layerNeeds(`${path}.${name}`, outDim, inDim, false),
  ),
];

/** Names of an expert's matrices in files that hold each by itself. */
export interface ExpertFileNames {
  readonly gate: string;
  readonly up: string;
  readonly down: string;
}

/** The tensors of files that hold each expert by itself: those that one of ours is, in its order; null where it is not of experts. */
export const expertPieces =
  ({ gate, up, down }: ExpertFileNames) =>
  (
    name: string,
    shape: readonly number[],
    most: number,
  ): readonly (readonly [name: string, shape: readonly number[]])[] | null => {
    const isDown = name.endsWith(`.${names.down}`);
    if (!isDown && !name.endsWith(`.${names.gateUp}`)) return null;
    const [count, outDim, inDim] = shape as readonly [number, number, number];
    const path = name.slice(0, name.lastIndexOf('.'));
    const parts: readonly string[] = isDown ? [down] : [gate, up];
    if (count * parts.length > most) return null;
    const own = [outDim / parts.length, inDim];
    return Array.from({ length: count }, (_, e) =>
      parts.map((part) => [`${path}.${e}.${part}.weight`, own] as const),
    ).flat();
  };

/** Logits of the routers of a pass: [batch, rows, experts] by path. */
const routed: Slot<Map<Path, Tensor>> = slot('router logits');

const part = (x: Tensor, start: number, end: number): Tensor => slice(x, { axis: -1, start, end });

/**
 * Rows [rows, 2 · width], of which every other value is one of the gate g, the next that of what it gates, u: (u' + 1) · g' · σ(α·g'), with
 * g' = min(g, c) and u' = u within ± c. transformers, `GptOssExperts`.
 */
const boundedGate = (wide: Tensor, { slope, limit }: Bounds): Tensor => {
  const [rows, both] = wide.shape as readonly [number, number];
  const pairs = reshape(wide, [rows, both / 2, 2]);
  const one = (i: number): Tensor => reshape(part(pairs, i, i + 1), [rows, both / 2]);
  const gate = minimum(one(0), limit);
  const gated = maximum(minimum(one(1), limit), -limit);
  return mul(add(gated, 1), mul(gate, sigmoid(mul(gate, slope))));
};

/** The MLP that all tokens go through, as far as its gate lets it. */
const sharedExpert = (path: Path, x: Tensor, { activation }: DecoderConfig, { linear }: Forward): Tensor => {
  const of = (name: string, h: Tensor): Tensor => linear(`${path}.${names.shared}.${name}`, h);
  const made = of('down_proj', mul(activations[activation](of('gate_proj', x)), of('up_proj', x)));
  return mul(sigmoid(linear(`${path}.shared_expert_gate`, x)), made);
};

/**
 * A mixture of experts: Σ wₑ·downₑ(act(gateₑ(x)) · upₑ(x)) over the `perToken` experts of a token to which the router's softmax gives most, with
 * that as weight. No other expert is computed. Shazeer et al., 2017, https://arxiv.org/abs/1701.06538; Jiang et al., 2024,
 * https://arxiv.org/abs/2401.04088; transformers, `MixtralSparseMoeBlock`, `Qwen2MoeSparseMoeBlock`, `GptOssMLP`.
 */
export const mixtureOfExperts =
  (path: Path, config: DecoderConfig, trait: ExpertsTrait, router: string, forward: Forward) =>
  (x: Tensor): Tensor => {
    const { count, perToken, width, shared, sumsToOne, bounds } = trait;
    const [batch, tokens, hidden] = x.shape as readonly [number, number, number];
    const rows = batch * tokens;
    const logits = forward.linear(`${path}.${router}`, x);
    const { pass } = forward;
    const known = pass.get(routed) ?? new Map<Path, Tensor>();
    if (!known.has(path)) known.set(path, logits);
    pass.put(routed, known);
    const [top, chosen] = topK(softmax(reshape(logits, [rows, count])), { k: perToken });
    const weights = sumsToOne ? div(top, sum(top, { axes: [-1], keepDims: true })) : top; // [rows, perToken]
    const index = reshape(chosen, [rows * perToken]);
    const each = broadcastTo(reshape(x, [rows, 1, hidden]), [rows, perToken, hidden]);
    const wide = forward.experts(`${path}.${names.gateUp}`, reshape(each, [rows * perToken, hidden]), index);
    const inner = bounds
      ? boundedGate(wide, bounds)
      : mul(activations[config.activation](part(wide, 0, width)), part(wide, width, 2 * width));
    const made = reshape(forward.experts(`${path}.${names.down}`, inner, index), [rows, perToken, hidden]);
    const mixed = sum(mul(made, reshape(weights, [rows, perToken, 1])), { axes: [1] });
    const y = reshape(mixed, [batch, tokens, hidden]);
    return shared > 0 ? add(y, sharedExpert(path, x, config, forward)) : y;
  };

/**
 * The loss that balances the experts' load, times its factor: E · Σₑ fₑ·Pₑ, with fₑ the share of tokens that go to expert e, and Pₑ the mean of what
 * the router gives it, over the tokens of all layers that the mask keeps. Null where there is no factor. Fedus et al., 2021,
 * https://arxiv.org/abs/2101.03961, eqs. 4 to 6; transformers, `load_balancing_loss_func`.
 */
export const balanceLoss = (
  { count, perToken, balance }: ExpertsTrait,
  { main, call }: States,
  { mask }: Inputs,
): Tensor | null => {
  const all = [...(call('').pass.get(routed)?.values() ?? [])];
  if (balance === 0 || all.length === 0) return null;
  const [batch, tokens] = main.shape as readonly [number, number];
  const ones = (columns: number): Tensor => broadcastTo(constant(Float32Array.of(1), []), [batch, columns]);
  const terms = all.map((logits) => {
    const seen = logits.shape[1]!;
    const own = mask ?? ones(tokens);
    // Rows that methods put in front are routed too.
    const kept = reshape(seen > tokens ? concat(ones(seen - tokens), own, { axis: 1 }) : own, [batch * seen, 1]);
    const given = softmax(reshape(logits, [batch * seen, count]));
    const [, chosen] = topK(given, { k: perToken });
    const places = constant(
      Int32Array.from({ length: count }, (_, e) => e),
      [count],
    );
    const goes = sum(equal(reshape(chosen, [batch * seen, perToken, 1]), places), { axes: [1] });
    return { goes: sum(mul(goes, kept), { axes: [0] }), given: sum(mul(given, kept), { axes: [0] }), kept: sum(kept) };
  });
  const total = (of: 'goes' | 'given' | 'kept'): Tensor => terms.map((term) => term[of]).reduce((a, b) => add(a, b));
  const shares = mul(div(total('goes'), total('kept')), div(total('given'), total('kept')));
  return mul(sum(shares), balance * count);
};
