import type { AdapterConfig, FactoryFormat, Method, MethodCard } from '@peftjs/core';
import { PeftError } from '@peftjs/tensor';

/** Files of another `peft_type` that a method reads too: `read` builds it of their configuration, or throws. */
export const otherFiles = (
  card: MethodCard,
  name: string,
  peftType: string,
  read: (config: AdapterConfig) => Method,
): FactoryFormat => ({
  ...card,
  name,
  peftType,
  merges: true,
  reads: (config) => config.peft_type === peftType,
  fromConfig: read,
});

/** Files of another `peft_type` that are refused, and why. */
export const refusedFiles = (card: MethodCard, name: string, peftType: string, why: string): FactoryFormat =>
  otherFiles(card, name, peftType, () => {
    throw new PeftError('bad-adapter', `${name}: ${why}`);
  });
