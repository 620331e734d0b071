import { bottleneckAdapter } from '@peftjs/adapters';
import type { CombinedPart } from '@peftjs/core';
import { lora } from '@peftjs/lora';
import { bitfit, layerNormTuning } from '@peftjs/selective';
import type { Model } from '@peftjs/transformer';

/** Parts of a structure to choose from, by name: letters, digits, `_` and `-`. */
export type CandidateParts = Readonly<Record<string, Omit<CombinedPart, 'name'>>>;

/**
 * The candidates of S3Delta-M: for every linear layer but the head LoRA of rank 1, and a bias; for every norm its own values; for attention and for the MLP of each layer a bottleneck of width 1 after it. The authors' adapters have
 * low-rank factors, rank 1 of width d / 32, of about as many values. Hu et al., 2022. https://arxiv.org/abs/2206.07382
 */
export const s3DeltaCandidates = (model: Model): CandidateParts => {
  const heads = new Set([...model.parts(['head', 'patch']).map(({ path }) => path), ...model.trainedHeads, 'lm_head']);
  const linears = [...model.linears.keys()].filter((path) => !heads.has(path));
  const layers = Math.max(...model.towers.map((tower) => tower.paths('block').length));
  const named = (kind: string, path: string): string => `${kind}-${path.replaceAll('.', '-')}`;
  return Object.fromEntries([
    ...linears.map((path) => [named('lora', path), { method: lora({ rank: 1, alpha: 1, target: [path] }) }] as const),
    ...linears.map((path) => [named('bias', path), { method: bitfit({ target: [path], norms: [] }) }] as const),
    ...[...model.norms.keys()].map(
      (path) => [named('norm', path), { method: layerNormTuning({ target: [path] }) }] as const,
    ),
    ...(['attn', 'mlp'] as const).flatMap((site) =>
      Array.from(
        { length: layers },
        (_, i) =>
          [
            `adapter-${site}-${i}`,
            { method: bottleneckAdapter({ sublayers: [site], bottleneck: 1 }), layers: [i] },
          ] as const,
      ),
    ),
  ]);
};
