import {
  defineMethod,
  eachLinear,
  familyTarget,
  kaimingUniform,
  type MethodFactory,
  normal,
  type Option,
  penalty,
  targets,
  zeros,
} from '@peftjs/core';
import { add, matmul, mul, PeftError, sum, type Tensor } from '@peftjs/tensor';
import { fromIdentity } from './adalora/orthogonality.ts';
import { type LoraOptions, loraOptions, rankAndScaleOf } from './low-rank.ts';
import { halves } from './starts/halves.ts';
import { takenAway } from './starts/taken-away.ts';
import { variantConfig, variantFiles } from './variant-files.ts';

/** Options of `kasa`. */
export interface KasaOptions extends LoraOptions {
  /** Factor β of the penalty on ‖d‖². Default 1e-4. */
  readonly valuePenalty?: number;
  /** Factor γ of the penalty on how far A and B are from orthonormal. Default 1e-3. */
  readonly orthogonality?: number;
}

const factor = (key: string, fallback: number): Option<number> => ({
  key,
  fallback: () => fallback,
  expected: 'a number of at least 0',
  accepts: (v) => Number.isFinite(v) && (v as number) >= 0,
});

/**
 * KaSA: y = (W − Wᵣ)x + (alpha/r)·B·diag(d)·A·dropout(x), where Wᵣ is the part of W that belongs to its r smallest singular values, taken to be noise. A is [rank, in] from U(−1/√in, 1/√in),
 * d [rank] from N(0, 1), B [out, rank] zero at the start. The loss gets β·‖d‖² + γ·(‖BᵀB − I‖ + ‖AAᵀ − I‖), summed over layers. Wᵣ is found anew from the base when the
 * adapter is made or loaded, by a decomposition of the whole weight in f64 on the host (up to a minute at a side of 768, eight times that at twice the side), and held beside it as 2 matrices of rank r; files hold A, B and d. Merges. Throws as `lora`, and `bad-option` for
 * ranks that leave nothing of W.
 * Wang et al., 2024. https://arxiv.org/abs/2412.06071
 */
export const kasa: MethodFactory<KasaOptions> = defineMethod<KasaOptions>({
  name: 'kasa',
  formula: {
    merges: true,
    options: {
      ...loraOptions,
      target: targets('target_modules', familyTarget('lora')),
      valuePenalty: factor('kasa_config.beta', 1e-4),
      orthogonality: factor('kasa_config.gamma', 1e-3),
    },
    attach: (model, scope, options) => {
      const terms = new Map<string, Tensor>();
      const patch = eachLinear(model, scope, options.target, 'kasa', (base, own, path) => {
        const { inDim, outDim } = base;
        const { rank, scale } = rankAndScaleOf(path, options);
        if (rank >= Math.min(inDim, outDim))
          throw new PeftError(
            'bad-option',
            `kasa: ${path}: rank ${rank} leaves nothing of its weight, ${outDim} × ${inDim}; give a lower one`,
          );
        const a = own.param('lora_A.weight', [rank, inDim], kaimingUniform);
        const d = own.param('lora_diag', [rank], normal(1));
        const b = own.param('lora_B.weight', [outDim, rank], zeros);
        const far = add(
          fromIdentity(matmul(b, b, { transposeA: true })),
          fromIdentity(matmul(a, a, { transposeB: true })),
        );
        terms.set(path, add(mul(sum(mul(d, d)), options.valuePenalty), mul(far, options.orthogonality)));
        const first = halves(async (compute) => {
          const { minorOf } = await import('./algebra/minor.ts'); // with ml-matrix, which few need
          return minorOf(base, rank, compute);
        });
        return takenAway(
          base,
          own,
          { rank, scale: 1, first },
          {
            apply: (x) => {
              const low = matmul(own.dropout(x, options.dropout), a, { transposeB: true });
              return matmul(mul(low, mul(d, scale)), b, { transposeB: true });
            },
            dense: () => matmul(mul(b, mul(d, scale)), a),
          },
        );
      });
      return { ...patch, objective: penalty(() => [...terms.values()].reduce((x, y) => add(x, y))) };
    },
  },
  files: { ...variantFiles('kasa', 'kasa_config'), config: variantConfig },
  card: {
    about: 'low-rank updates with singular values, in place of the least ones of the weight',
    paper: {
      authors: 'Wang et al.',
      year: 2024,
      title: 'KaSA: Knowledge-Aware Singular-Value Adaptation of Large Language Models',
      url: 'https://arxiv.org/abs/2412.06071',
    },
    learningRate: 5e-4,
    narrowRate: 3.2e-2,
  },
});
