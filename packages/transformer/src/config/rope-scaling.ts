/**
 * The way of Llama 3.1 and later: long waves are slowed, short ones are kept.
 * Source: Llama Team, 2024, https://arxiv.org/abs/2407.21783; transformers, `modeling_rope_utils.py`.
 */
export interface Llama3RopeScaling {
  readonly kind: 'llama3';
  readonly factor: number;
  readonly lowFrequencyFactor: number;
  readonly highFrequencyFactor: number;
  readonly originalMaxPositions: number;
}

/** All positions divided by a factor. Chen et al., 2023. https://arxiv.org/abs/2306.15595 */
export interface LinearRopeScaling {
  readonly kind: 'linear';
  readonly factor: number;
}

/** A base that grows with a text beyond the model's longest, and changes nothing up to there; longer texts are refused here. */
export interface DynamicRopeScaling {
  readonly kind: 'dynamic';
  readonly factor: number;
}

/**
 * YaRN: waves that turn less than `betaSlow` times within the context of pretraining are slowed by the factor, those that turn more than `betaFast`
 * times are kept, with a ramp in between; cosines and sines are scaled. Peng et al., 2023. https://arxiv.org/abs/2309.00071
 */
export interface YarnRopeScaling {
  readonly kind: 'yarn';
  readonly factor: number;
  readonly originalMaxPositions: number;
  /** Factor of cosines and sines. */
  readonly attentionFactor: number;
  readonly betaFast: number;
  readonly betaSlow: number;
  /** Whether the ends of the ramp are whole pairs. */
  readonly truncate: boolean;
}

/**
 * LongRoPE: a divisor for each pair, found by search, for texts up to the context of pretraining, and others for all tokens of longer texts;
 * cosines and sines are scaled. As transformers has it, the length of a pass decides, padding included. Ding et al., 2024. https://arxiv.org/abs/2402.13753
 */
export interface LongRopeScaling {
  readonly kind: 'longrope';
  /** The number that attention's factor was made of; null where the file does not say. */
  readonly factor: number | null;
  readonly originalMaxPositions: number;
  readonly attentionFactor: number;
  readonly shortFactors: readonly number[];
  readonly longFactors: readonly number[];
}

/** How a rotary embedding is stretched beyond the context of pretraining. */
export type RopeScaling =
  | Llama3RopeScaling
  | LinearRopeScaling
  | DynamicRopeScaling
  | YarnRopeScaling
  | LongRopeScaling;

/** A scaling as `rope_scaling` of `config.json`. */
export const scalingJson = (s: RopeScaling): Readonly<Record<string, unknown>> => ({
  rope_type: s.kind,
  ...(s.factor !== null && { factor: s.factor }),
  ...(s.kind === 'longrope' && {
    attention_factor: s.attentionFactor,
    short_factor: s.shortFactors,
    long_factor: s.longFactors,
  }),
  ...(s.kind === 'llama3' && { low_freq_factor: s.lowFrequencyFactor, high_freq_factor: s.highFrequencyFactor }),
  ...('originalMaxPositions' in s && { original_max_position_embeddings: s.originalMaxPositions }),
  ...(s.kind === 'yarn' && {
    attention_factor: s.attentionFactor,
    beta_fast: s.betaFast,
    beta_slow: s.betaSlow,
    truncate: s.truncate,
  }),
});
