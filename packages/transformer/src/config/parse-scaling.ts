import * as z from 'zod';
import type { RopeScaling, YarnRopeScaling } from './rope-scaling.ts';

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

/** The scaling that a rule tells of; null for none; what is wrong goes to `problems`. */
export const parseScaling = (
  field: string,
  raw: Rule,
  { original, most }: Lengths,
  problems: string[],
): RopeScaling | null => {
  const kind = raw.rope_type ?? raw.type ?? 'default';
  const byLayer = ['full_attention', 'sliding_attention'].filter((name) => name in raw);
  if (byLayer.length > 0) problems.push(`${field} by kind of layer (${byLayer.join(', ')}) is not supported`);
  if ((raw.partial_rotary_factor ?? 1) !== 1)
    problems.push(`${field}.partial_rotary_factor ${raw.partial_rotary_factor} is not supported; only 1 is`);
  if (kind === 'default') return null;
  const factor = raw.factor ?? Number.NaN;
  const needsOriginal = kind === 'llama3' || kind === 'yarn';
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
    case 'llama3': {
      const [low, high] = [raw.low_freq_factor ?? Number.NaN, raw.high_freq_factor ?? Number.NaN];
      if (!(low > 0 && high > low))
        problems.push(`${field}: low_freq_factor must be above 0 and high_freq_factor above low_freq_factor`);
      return { kind, factor, lowFrequencyFactor: low, highFrequencyFactor: high, originalMaxPositions };
    }
    default:
      problems.push(
        `${field} of type ${JSON.stringify(kind)} is not supported; "default", "linear", "dynamic", "yarn" and "llama3" are`,
      );
      return null;
  }
};
