import type { ModelConfig } from '@peftjs/io';

/** Heads of an attention's keys and values: fewer than of its queries where these share them. */
export const keyValueHeads = (config: ModelConfig): number =>
  'keyValueHeads' in config ? config.keyValueHeads : config.heads;
