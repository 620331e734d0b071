/** A parsed `config.json`. */
type Json = Readonly<Record<string, unknown>>;

/** Fields of a Llama's that the classes of older decoders do not read. */
const foreign: readonly string[] = [
  'partial_rotary_factor',
  'rope_theta',
  'rope_scaling',
  'rope_parameters',
  'num_key_value_heads',
  'head_dim',
  'attention_bias',
  'mlp_bias',
];

/**
 * The `config.json` of an older decoder in a Llama's words. `names`: its fields, and those of a Llama's that they are; transformers takes either name,
 * and of both its own. Fields that its class knows nothing of, which would be read as a Llama's, are left out.
 */
export const inLlamasWords = (json: Json, names: Readonly<Record<string, string>>, defaults: Json): Json => {
  const stated = { ...defaults, ...json };
  const renamed = Object.entries(names).map(([own, name]) => [name, json[own] ?? json[name] ?? stated[own]]);
  const rest = Object.entries(json).filter(([name]) => !foreign.includes(name));
  return Object.fromEntries([...rest, ...renamed]);
};

/** The same back. */
export const inOwnWords = (json: Json, names: Readonly<Record<string, string>>): Json => {
  const own = new Map(Object.entries(names).map(([name, llamas]) => [llamas, name]));
  const kept = Object.entries(json).filter(([name]) => !foreign.includes(name));
  return Object.fromEntries(kept.map(([name, value]) => [own.get(name) ?? name, value]));
};
