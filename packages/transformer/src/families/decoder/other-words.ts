import type { DecoderRecord } from './record.ts';

/** A parsed `config.json`. */
type Json = Readonly<Record<string, unknown>>;

/** Fields of a Llama's that the classes of decoders before it do not read. */
export const unknownBeforeLlama: readonly string[] = [
  'partial_rotary_factor',
  'rope_theta',
  'rope_scaling',
  'rope_parameters',
  'num_key_value_heads',
  'head_dim',
  'attention_bias',
  'mlp_bias',
];

const without = (json: Json, names: readonly string[]): Json =>
  Object.fromEntries(Object.entries(json).filter(([name]) => !names.includes(name)));

/** A record's `config.json` in a Llama's words: fields by the names of a Llama's, without those that its class does not read, which would be read as a Llama's. */
export const inLlamasWords = (
  { ownNames = {}, unread = [], words, defaults = {} }: DecoderRecord,
  json: Json,
): Json => {
  const renamed = Object.entries(ownNames).flatMap(([own, name]) => {
    const value = json[own] ?? json[name] ?? defaults[own];
    return value === undefined ? [] : [[name, value] as const];
  });
  const llamas = { ...without(json, unread), ...Object.fromEntries(renamed) };
  return words?.read?.(llamas, json) ?? llamas;
};

/** The same back. */
export const inOwnWords = ({ ownNames = {}, unread = [] }: DecoderRecord, json: Json): Json => {
  const own = new Map(Object.entries(ownNames).map(([name, llamas]) => [llamas, name]));
  return Object.fromEntries(
    Object.entries(without(json, unread)).map(([name, value]) => [own.get(name) ?? name, value]),
  );
};
