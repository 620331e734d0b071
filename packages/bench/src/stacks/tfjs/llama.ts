import type { LlamaConfig } from '@peftjs/transformer';
import { ropeTables } from '../../peers/load-weights.ts';
import type { Tf, TfTensor } from './types.ts';

/** Tensors by name. */
export type Tensors = ReadonlyMap<string, TfTensor>;

/** Keys and values [batch, heads, keys, headDim] of attention, given those of this pass. */
export type Remember = (layer: number, k: TfTensor, v: TfTensor) => { readonly k: TfTensor; readonly v: TfTensor };

/** How a pass differs from one over whole sequences. */
export interface Pass {
  readonly remember?: Remember;
  /** f32 [tokens, keys], added to the scores: 0 or a large negative number; none hides nothing. */
  readonly mask?: TfTensor;
  /** Rotary tables of the pass's positions: [tokens, headDim / 2]. */
  readonly cos: TfTensor;
  readonly sin: TfTensor;
}

/** Rotary tables of the first positions. */
export const ropeOf = (tf: Tf, config: LlamaConfig, positions: number): { cos: TfTensor; sin: TfTensor } => {
  const { cos, sin, half } = ropeTables(config, positions);
  return { cos: tf.tensor(cos, [positions, half]), sin: tf.tensor(sin, [positions, half]) };
};

/** Hides what comes later: [tokens, tokens]. */
export const causalMask = (tf: Tf, tokens: number): TfTensor =>
  tf.tensor(
    Float32Array.from({ length: tokens * tokens }, (_, i) => (i % tokens > Math.floor(i / tokens) ? -1e9 : 0)),
    [tokens, tokens],
  );

/** Rows of a table; the gradient adds up by `scatterND`, as the library's own needs a kernel that its WebAssembly has not. */
const embed = (tf: Tf, table: TfTensor, ids: TfTensor): TfTensor =>
  tf.customGrad((t) => ({
    value: tf.gather(t!, ids),
    gradFunc: (dy) => [tf.scatterND(tf.reshape(ids, [-1, 1]), dy, t!.shape)],
  }))(table);

/**
 * A Llama-type decoder in TensorFlow.js: ids i32 [batch · tokens] -> what the head reads, [batch · tokens, hidden], and the head. Weights
 * are [out, in]. `scale` is LoRA's.
 */
export const llama = (
  tf: Tf,
  config: LlamaConfig,
  weights: Tensors,
  adapter: Tensors,
  scale: number,
): { hidden(ids: TfTensor, batch: number, pass: Pass): TfTensor; head(x: TfTensor): TfTensor } => {
  const { heads, keyValueHeads, headDim } = config;

  const linear = (path: string, x: TfTensor): TfTensor => {
    const [a, b] = [adapter.get(`${path}.lora_A`), adapter.get(`${path}.lora_B`)];
    const plain = tf.matMul(x, weights.get(`${path}.weight`)!, false, true);
    if (!a || !b) return plain;
    return tf.add(plain, tf.mul(tf.matMul(tf.matMul(x, a, false, true), b, false, true), scale));
  };
  const norm = (path: string, x: TfTensor): TfTensor => {
    const size = tf.rsqrt(tf.add(tf.mean(tf.square(x), -1, true), config.normEps));
    return tf.mul(tf.mul(x, size), weights.get(`${path}.weight`)!);
  };
  const rotate = (x: TfTensor, { cos, sin }: Pass): TfTensor => {
    const [left, right] = tf.split(x, 2, 3);
    return tf.concat([tf.sub(tf.mul(left, cos), tf.mul(right, sin)), tf.add(tf.mul(right, cos), tf.mul(left, sin))], 3);
  };
  const attend = (path: string, layer: number, x: TfTensor, batch: number, pass: Pass): TfTensor => {
    const rows = x.shape[0]!;
    const split = (name: string, count: number): TfTensor =>
      tf.transpose(tf.reshape(linear(`${path}.${name}`, x), [batch, rows / batch, count, headDim]), [0, 2, 1, 3]);
    const q = rotate(split('q_proj', heads), pass);
    const own = { k: rotate(split('k_proj', keyValueHeads), pass), v: split('v_proj', keyValueHeads) };
    const { k, v } = pass.remember ? pass.remember(layer, own.k, own.v) : own;
    const [tokens, keys] = [rows / batch, k.shape[2]!];
    // The heads that share keys lie one after the other, so their queries are rows of one product.
    const together = (x: TfTensor): TfTensor =>
      tf.reshape(x, [batch, keyValueHeads, (heads / keyValueHeads) * tokens, x.shape[3]!]);
    const scores = tf.reshape(tf.matMul(together(q), k, false, true), [batch, heads, tokens, keys]);
    const scaled = tf.mul(scores, 1 / Math.sqrt(headDim));
    const mixed = tf.matMul(together(tf.softmax(pass.mask ? tf.add(scaled, pass.mask) : scaled)), v);
    const apart = tf.transpose(tf.reshape(mixed, [batch, heads, tokens, headDim]), [0, 2, 1, 3]);
    return linear(`${path}.o_proj`, tf.reshape(apart, [rows, heads * headDim]));
  };
  const mlp = (path: string, x: TfTensor): TfTensor => {
    const gate = linear(`${path}.gate_proj`, x);
    return linear(`${path}.down_proj`, tf.mul(tf.mul(gate, tf.sigmoid(gate)), linear(`${path}.up_proj`, x)));
  };

  const hidden = (ids: TfTensor, batch: number, pass: Pass): TfTensor => {
    let x = embed(tf, weights.get('model.embed_tokens.weight')!, ids);
    for (let i = 0; i < config.layers; i++) {
      const path = `model.layers.${i}`;
      x = tf.add(x, attend(`${path}.self_attn`, i, norm(`${path}.input_layernorm`, x), batch, pass));
      x = tf.add(x, mlp(`${path}.mlp`, norm(`${path}.post_attention_layernorm`, x)));
    }
    return norm('model.norm', x);
  };
  return { hidden, head: (x: TfTensor): TfTensor => linear('lm_head', x) };
};
