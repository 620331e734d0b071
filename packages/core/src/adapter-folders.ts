import type { Adapter, AdapterPart, AdapterTensorData, JsonObject, NamedAdapter } from '@peftjs/io';
import type { Model } from '@peftjs/transformer';
import type { AdapterConfig } from './method.ts';
import { isHeads, withoutHeads } from './task-heads.ts';

/** The prefix of the names of an adapter's tensors, by layout. */
export const keyPrefix = { peft: 'base_model.model.', 'adapter-hub': '' } as const;

/** A part of a combination in a configuration. */
interface SavedPart {
  readonly name: string;
  readonly method: AdapterConfig;
}

/** Parts that are adapters of their own in Hugging Face PEFT; null where a configuration is none of such. */
export const foldersOf = ({ mixed, methods }: AdapterConfig): readonly SavedPart[] | null =>
  mixed === true ? (methods as unknown as readonly SavedPart[]) : null;

/** Tensors by the part that their names begin with; those of the task's head are with the first, as PEFT has one head. */
export const foldersWith = (
  parts: readonly SavedPart[],
  base: Model,
  tensors: ReadonlyMap<string, AdapterTensorData>,
  complete: (config: AdapterConfig, heads: readonly string[]) => JsonObject,
): AdapterPart[] =>
  parts.map(({ name, method }, i) => {
    const own = [...tensors].flatMap(([key, tensor]): (readonly [string, AdapterTensorData])[] => {
      if (isHeads(base, key)) return i === 0 ? [[keyPrefix.peft + key, tensor]] : [];
      return key.startsWith(`${name}.`) ? [[keyPrefix.peft + key.slice(name.length + 1), tensor]] : [];
    });
    return { name, config: complete(method, i === 0 ? base.layout.trainedModules : []), tensors: new Map(own) };
  });

/** Adapters of Hugging Face PEFT that act together as one, as `save` made them of a combination. */
export const together = (parts: readonly NamedAdapter[], base: Model): Adapter => {
  const [{ config }] = parts as readonly [NamedAdapter];
  const methods = parts.map((part) => ({ name: part.name, method: withoutHeads(part.config.raw, base) as JsonObject }));
  const tensors = parts.flatMap((part) =>
    [...part.tensors].map(([key, tensor]) => {
      const own = key.startsWith(keyPrefix.peft) ? key.slice(keyPrefix.peft.length) : key;
      return [keyPrefix.peft + (isHeads(base, own) ? own : `${part.name}.${own}`), tensor] as const;
    }),
  );
  const raw = { peft_type: 'PEFTJS_COMBINATION', mixed: true, methods };
  return { layout: 'peft', config: { ...config, raw }, tensors: new Map(tensors) };
};
