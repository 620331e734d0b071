import { glorotUniform, type Init, normal, type Scope, zeros } from '@peftjs/core';
import { add, matmul, PeftError, reshape, type Tensor, transpose } from '@peftjs/tensor';
import type { Project } from '../bottleneck.ts';

/** How a projection is made of Kronecker products. */
export interface PhmOptions {
  /** n, the number of products and the size of their first factors; it divides d and the width. */
  readonly dimension: number;
  /** Rank k of the second factors. */
  readonly rank: number;
  /** Whether the second factors are products of two of rank k, and not matrices. */
  readonly factorized: boolean;
  /** Whether the first factors are trained. */
  readonly learnRule: boolean;
  /** Their standard deviation at the start. */
  readonly ruleStd: number;
}

/** As the authors have it: hypercomplex/inits.py. */
const glorot = glorotUniform(Math.SQRT2);

/** The first factors A_i: [n, n, n]. */
export const phmRule = (scope: Scope, { dimension: n, learnRule, ruleStd }: PhmOptions): Tensor => {
  const init: Init = normal(ruleStd);
  return learnRule ? scope.param('phm_rule', [n, n, n], init) : scope.buffer('phm_rule', [n, n, n], init);
};

/** Σ_i A_i ⊗ W_i of A [n, n, n] and W [n, p, q]: [n·p, n·q]. */
const sumOfProducts = (rule: Tensor, w: Tensor): Tensor => {
  const [n, p, q] = w.shape as readonly [number, number, number];
  const flat = matmul(reshape(rule, [n, n * n]), reshape(w, [n, p * q]), { transposeA: true }); // [n·n, p·q]
  return reshape(transpose(reshape(flat, [n, n, p, q]), [0, 2, 1, 3]), [n * p, n * q]);
};

/**
 * Parametrised hypercomplex multiplication: y = x·Σ_i A_i ⊗ (L_i R_i) + b, A_i [n, n], L_i [in/n, k], R_i [k, out/n]; `rule` is A where all
 * layers share it. Throws `bad-option` for sizes that n does not divide. Zhang et al., 2021. https://arxiv.org/abs/2102.08597
 */
export const phm =
  (method: string, options: PhmOptions, rule: Tensor | null): Project =>
  (scope, name, outDim, inDim) => {
    const { dimension: n, rank, factorized } = options;
    if (inDim % n !== 0 || outDim % n !== 0)
      throw new PeftError(
        'bad-option',
        `${method}: dimension ${n} must divide the hidden size and the width, which are ${inDim} and ${outDim}; choose another dimension, reduction or bottleneck`,
      );
    const own = scope.at(name);
    const a = rule ?? phmRule(own, options);
    const [p, q] = [inDim / n, outDim / n];
    const w = factorized
      ? matmul(own.param('W_left', [n, p, rank], glorot), own.param('W_right', [n, rank, q], glorot))
      : own.param('W', [n, p, q], glorot);
    const bias = own.param('b', [outDim], zeros);
    return (x) => add(matmul(x, sumOfProducts(a, w)), bias);
  };
