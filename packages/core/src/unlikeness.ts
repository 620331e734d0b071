import { sameShape } from '@peftjs/tensor';
import type { Model } from '@peftjs/transformer';
import type { Adapted } from './attach.ts';
import type { AdapterConfig } from './method.ts';

const differences = (here: AdapterConfig, there: AdapterConfig): string[] =>
  [...new Set([...Object.keys(here), ...Object.keys(there)])]
    .filter((field) => JSON.stringify(here[field]) !== JSON.stringify(there[field]))
    .map((field) => `${field} is ${JSON.stringify(there[field])} there, ${JSON.stringify(here[field])} here`);

const misfits = ({ state }: Adapted<Model>, source: Adapted<Model>): string[] => [
  ...[...state].flatMap(([name, { shape }]) => {
    const found = source.state.get(name);
    if (!found) return [`${name} is missing there`];
    return sameShape(found.shape, shape) ? [] : [`${name} is [${found.shape}] there, [${shape}] here`];
  }),
  ...[...source.state.keys()].filter((name) => !state.has(name)).map((name) => `${name} belongs to nothing here`),
];

/** All in which another adapter is built otherwise, configuration and tensors; none where one can stand in the other's place. */
export const unlikeness = (adapted: Adapted<Model>, source: Adapted<Model>): string[] => [
  ...differences(adapted.method.config(adapted.base), source.method.config(source.base)),
  ...misfits(adapted, source),
];
