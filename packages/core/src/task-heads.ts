import type { Model } from '@peftjs/transformer';
import type { AdapterConfig } from './method.ts';

/** Whether a tensor is of a task's own head, which no method knows of. */
export const isHeads = ({ trainedHeads }: Model, name: string): boolean =>
  trainedHeads.some((path) => name.startsWith(`${path}.`));

/** The modules that are trained whole: those of the configuration, and the task's own heads. */
export const withHeads = ({ modules_to_save: saved }: AdapterConfig, heads: readonly string[]): string[] => [
  ...new Set([...(Array.isArray(saved) ? (saved as string[]) : []), ...heads]),
];

/** The configuration without what every adapter of the model has: its task's own head. */
export const withoutHeads = (config: AdapterConfig, { layout, trainedHeads }: Model): AdapterConfig => {
  const { modules_to_save: saved, ...rest } = config;
  if (!Array.isArray(saved) || trainedHeads.length === 0) return config;
  const own = [...taskHeads, ...layout.trainedModules, ...trainedHeads];
  const others = saved.filter((name) => !own.includes(name));
  return others.length > 0 ? { ...rest, modules_to_save: others } : rest;
};

/** Heads' names that PEFT lists for every classifier, whether the model has them or not. */
const taskHeads: readonly unknown[] = ['classifier', 'score'];
