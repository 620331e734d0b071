import { familyOfConfig } from '../families/index.ts';
import type { ModelConfig } from './model-config.ts';

type Json = Readonly<Record<string, unknown>>;

/** Ids of tokens, which are the tokenizer's, and names. */
const apart = new Set(['bosId', 'eosIds', 'padId', 'decoderStartId', 'architectures', 'labels']);

const isTable = (v: unknown): v is Json => typeof v === 'object' && v !== null;

/** Whether two values are the same, numbers as near as f32 tells them apart. */
const same = (a: unknown, b: unknown): boolean => {
  if (typeof a === 'number' && typeof b === 'number') return Math.abs(a - b) <= 1e-6 * Math.abs(a);
  if (typeof a === 'function' && typeof b === 'function') return true;
  if (!isTable(a) || !isTable(b)) return (a ?? null) === (b ?? null);
  return [...new Set([...Object.keys(a), ...Object.keys(b)])].every((key) => same(a[key], b[key]));
};

/**
 * The fields in which two configs make unlike models, whatever they leave to their family's rules; ids of tokens and names apart. Empty for models that are alike.
 * For writers of files that tell a config in other words.
 */
export const unlikeFields = (a: ModelConfig, b: ModelConfig): readonly string[] => {
  const told = (config: ModelConfig): Json => familyOfConfig(config).explicit?.(config) ?? { ...config };
  const [one, other] = [told(a), told(b)];
  return [...new Set([...Object.keys(one), ...Object.keys(other)])].filter(
    (key) => !apart.has(key) && !same(one[key], other[key]),
  );
};
