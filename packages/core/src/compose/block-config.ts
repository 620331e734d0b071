import type { AdapterConfig } from '../method.ts';
import { type Block, kinds } from './kinds.ts';

/** `peft_type` of a block's file, as no library has one. */
const ownType = 'PEFTJS_BLOCK';

/** The configuration of a block in a file of ours. */
export const blockConfig = ({ kind, parts, settings }: Block, configs: readonly AdapterConfig[]): AdapterConfig => ({
  peft_type: ownType,
  block: kind,
  ...Object.fromEntries(
    kinds[kind].has.flatMap((field) => (settings[field] === undefined ? [] : [[field, settings[field]]])),
  ),
  parts: parts.map(([name], i) => ({ name, method: configs[i]! })),
});

/** Whether a configuration is that of a block. */
export const isBlockConfig = ({ peft_type }: AdapterConfig): boolean => peft_type === ownType;
