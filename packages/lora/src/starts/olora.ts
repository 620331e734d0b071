import type { MethodFactory } from '@peftjs/core';
import type { LoraOptions } from '../low-rank.ts';
import { principalLora } from './principal-lora.ts';

/**
 * OLoRA: as `pissa`, but B and A begin as B₀ = Q[:, :r] and A₀ = R[:r] with W = QR: orthonormal columns, and what they hold of W. All else is as there.
 * Büyükakyüz, 2024. https://arxiv.org/abs/2406.01775
 */
export const olora: MethodFactory<LoraOptions> = principalLora('olora', {
  about: 'low-rank updates that begin with orthonormal columns of the weight',
  paper: {
    authors: 'Büyükakyüz',
    year: 2024,
    title: 'OLoRA: Orthonormal Low-Rank Adaptation of Large Language Models',
    url: 'https://arxiv.org/abs/2406.01775',
  },
  learningRate: 3e-4,
  narrowRate: 3.2e-3,
});
