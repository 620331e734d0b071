import { defineMethod, familyTarget, type GradientTransform, type MethodFactory, targets } from '@peftjs/core';
import { add, matmul, mul, sub, type Variable } from '@peftjs/tensor';
import { type LoraOptions, type LowRank, loraOptions } from '../low-rank.ts';
import { attachLora } from './attach-lora.ts';
import { byRank } from './by-rank.ts';
import { filesOfLora } from './files.ts';
import { inverses } from './inverses.ts';
import { sylvester } from './sylvester.ts';

/** The number that is added to diagonals before they are inverted, as in the authors' code. */
const damping = 1e-8;

/** Gradients of A and B whose step of s·BA is the closest to the gradient of W. */
const adjusted = (pairs: ReadonlyMap<Variable, LowRank>): GradientTransform => ({
  name: 'loraPro',
  update: ({ values, ...more }) => {
    const own = [...pairs.values()].filter(({ a, b }) => values.has(a) && values.has(b));
    const grams = own.map(
      ({ a, b }) => [matmul(b, b, { transposeA: true }), matmul(a, a, { transposeB: true })] as const,
    );
    const found = inverses(grams.flat(), damping);
    const freeA = own.map(({ a, scale }, i) => mul(matmul(found[2 * i]!, values.get(a)!), scale ** -2));
    const moves = byRank(
      own.map(({ a }, i) => [...grams[i]!, mul(matmul(freeA[i]!, a, { transposeB: true }), -1)]),
      (p, q, c) => sylvester(p!, q!, c!),
    );
    const changed = own.flatMap(({ a, b, scale }, i) => {
      const [gradient, x] = [values.get(b)!, moves[i]!];
      const within = matmul(b, matmul(found[2 * i]!, matmul(b, gradient, { transposeA: true })));
      const freeB = mul(matmul(sub(gradient, within), found[2 * i + 1]!), scale ** -2);
      return [[a, add(freeA[i]!, matmul(x, a))] as const, [b, sub(freeB, matmul(b, x))] as const];
    });
    return { ...more, values: new Map([...values, ...changed]), state: [] };
  },
});

/**
 * LoRA-Pro: `lora`, whose gradients are adjusted before the optimiser has them, so that their step of ΔW = s·BA is the closest to the gradient of W that a step of such factors can be:
 * g_A = (BᵀB)⁻¹·∂A/s² + X·A and g_B = (I − B(BᵀB)⁻¹Bᵀ)·∂B·(AAᵀ)⁻¹/s² − B·X. X, which changes nothing in ΔW, brings g_A and g_B the closest to ∂A and ∂B: BᵀB·X + X·AAᵀ = −(BᵀB)⁻¹·∂A·Aᵀ/s². 1e-8 is added to diagonals that are
 * inverted. All matrices are [rank, rank], and those of all layers are solved together. The function, its first values and its files are LoRA's, with a mark beside. For linear layers alone. Merges. Throws as `lora`.
 * Wang, Liang, He, Wang & Tan, 2025. https://arxiv.org/abs/2407.18242. As in the authors' `peta/optim.py`, where the optimiser's moments are those of A and B: https://github.com/mrflogs/LoRA-Pro.
 */
export const loraPro: MethodFactory<LoraOptions> = defineMethod<LoraOptions>({
  name: 'loraPro',
  formula: {
    merges: true,
    options: { ...loraOptions, target: targets('target_modules', familyTarget('lora')) },
    attach: (model, scope, options) => {
      const { patch, pairs } = attachLora('loraPro', model, scope, options);
      return { ...patch, transform: adjusted(pairs) };
    },
  },
  files: filesOfLora('lora_pro', { lora_pro: true }),
  card: {
    about: 'low-rank updates, stepped as close to the whole weight as they can be',
    paper: {
      authors: 'Wang, Liang, He, Wang & Tan',
      year: 2025,
      title: 'LoRA-Pro: Are Low-Rank Adapters Properly Optimized?',
      url: 'https://arxiv.org/abs/2407.18242',
    },
    learningRate: 2e-4,
    narrowRate: 1e-2,
  },
});
