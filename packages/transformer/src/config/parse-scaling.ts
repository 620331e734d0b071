import * as z from 'zod';
import type { LongRopeScaling, RopeScaling, YarnRopeScaling } from './rope-scaling.ts';

const optional = z.number().nullish();

type Field = number | null | undefined;

/** `rope_scaling` or `rope_parameters` of `config.json`. */
interface Rule {
  readonly rope_type?: string | undefined;
  readonly type?: string | undefined;
  readonly rope_theta?: Field;
  readonly partial_rotary_factor?: Field;
  readonly factor?: Field;
  readonly low_freq_factor?: Field;
  readonly high_freq_factor?: Field;
  readonly original_max_position_embeddings?: Field;
  readonly attention_factor?: Field;
  readonly beta_fast?: Field;
  readonly beta_slow?: Field;
  readonly mscale?: Field;
  readonly mscale_all_dim?: Field;
  readonly truncate?: boolean | null | undefined;
  readonly short_factor?: readonly number[] | null | undefined;
  readonly long_factor?: readonly number[] | null | undefined;
}

/** The check of one. */
export const scalingRule: z.ZodType<Rule> = z.looseObject({
  rope_type: z.string().optional(),
  type: z.string().optional(),
  rope_theta: z.number().positive().nullish(),
  partial_rotary_factor: optional,
  factor: optional,
  low_freq_factor: optional,
  high_freq_factor: optional,
  original_max_position_embeddings: optional,
  attention_factor: optional,
  beta_fast: optional,
  beta_slow: optional,
  mscale: optional,
  mscale_all_dim: optional,
  truncate: z.boolean().nullish(),
  short_factor: z.array(z.number().positive()).nullish(),
  long_factor: z.array(z.number().positive()).nullish(),
});

/** Longest texts: of pretraining, where the file says it, and of the model. */
export interface Lengths {
  readonly original: number | undefined;
  readonly most: number | undefined;
}

/** 0.1·m·ln(factor) + 1. */
const yarnScale = (factor: number, m: number): number => (factor <= 1 ? 1 : 0.1 * m * Math.log(factor) + 1);

const yarn = (raw: Rule, factor: number, originalMaxPositions: number): YarnRopeScaling => {
  const { mscale, mscale_all_dim: ofAll } = raw;
  const implied = mscale && ofAll ? yarnScale(factor, mscale) / yarnScale(factor, ofAll) : yarnScale(factor, 1);
  return {
    kind: 'yarn',
    factor,
    originalMaxPositions,
    attentionFactor: raw.attention_factor ?? implied,
    betaFast: raw.beta_fast || 32,
    betaSlow: raw.beta_slow || 1,
    truncate: raw.truncate ?? true,
  };
};

/** Source of the attention factor: transformers, `modeling_rope_utils.py`. */
const longRope = (
  field: string,
  raw: Rule,
  original: number,
  most: number | undefined,
  problems: string[],
): LongRopeScaling => {
  const { short_factor: shortFactors, long_factor: longFactors } = raw;
  if (!shortFactors || !longFactors)
    problems.push(`${field} must have short_factor and long_factor, a number for each pair`);
  const factor = raw.factor ?? null;
  const stretch = factor ?? (most ?? original) / original;
  const implied = stretch <= 1 ? 1 : Math.sqrt(1 + Math.log(stretch) / Math.log(original));
  return {
    kind: 'longrope',
    factor,
    originalMaxPositions: original,
    attentionFactor: raw.attention_factor ?? implied,
    shortFactors: shortFactors ?? [],
    longFactors: longFactors ?? [],
  };
};

/** The scaling that a rule tells of; null for none; what is wrong goes to `problems`. */
export const parseScaling = (
  field: string,
  raw: Rule,
  { original, most }: Lengths,
  problems: string[],
): RopeScaling | null => {
  const named = raw.rope_type ?? raw.type ?? 'default';
  // Its first name.
  const kind = named === 'su' ? 'longrope' : named;
  const byLayer = ['full_attention', 'sliding_attention'].filter((name) => name in raw);
  if (byLayer.length > 0) problems.push(`${field} by kind of layer (${byLayer.join(', ')}) is not supported`);
  if ((raw.partial_rotary_factor ?? 1) !== 1)
    problems.push(`${field}.partial_rotary_factor ${raw.partial_rotary_factor} is not supported; only 1 is`);
  if (kind === 'default') return null;
  const factor = raw.factor ?? Number.NaN;
  const needsOriginal = kind === 'llama3' || kind === 'yarn' || kind === 'longrope';
  const originalMaxPositions = original ?? (kind === 'yarn' ? most : undefined) ?? Number.NaN;
  if (['llama3', 'linear', 'dynamic', 'yarn'].includes(kind) && !(factor >= 1))
    problems.push(`${field}.factor must be a number >= 1`);
  if (needsOriginal && !(Number.isSafeInteger(originalMaxPositions) && originalMaxPositions > 0))
    problems.push(`${field}.original_max_position_embeddings must be a whole number above 0`);
  switch (kind) {
    case 'linear':
    case 'dynamic':
      return { kind, factor };
    case 'yarn': {
      const scaling = yarn(raw, factor, originalMaxPositions);
      if (!(scaling.attentionFactor > 0)) problems.push(`${field}.attention_factor must be above 0`);
      if (!(scaling.betaSlow > 0 && scaling.betaFast >= scaling.betaSlow))
        problems.push(`${field}: beta_slow must be above 0 and beta_fast not below it`);
      return scaling;
    }
    case 'longrope':
      return longRope(field, raw, originalMaxPositions, most, problems);
    case 'llama3': {
      const [low, high] = [raw.low_freq_factor ?? Number.NaN, raw.high_freq_factor ?? Number.NaN];
      if (!(low > 0 && high > low))
        problems.push(`${field}: low_freq_factor must be above 0 and high_freq_factor above low_freq_factor`);
      return { kind, factor, lowFrequencyFactor: low, highFrequencyFactor: high, originalMaxPositions };
    }
    default:
      problems.push(
        `${field} of type ${JSON.stringify(kind)} is not supported; "default", "linear", "dynamic", "yarn", "longrope" and "llama3" are`,
      );
      return null;
  }
};
