import type { LlamaConfig } from '@peftjs/transformer';
import { ropeTables } from '../../peers/load-weights.ts';
import type { Jax, JaxArray, Tree } from './types.ts';

/** Keys and values of one layer: what goes into attention, given those of this pass. */
export type Remember = (layer: number, k: JaxArray, v: JaxArray) => { readonly k: JaxArray; readonly v: JaxArray };

/** How a pass differs from one over whole sequences. */
export interface Pass {
  readonly remember?: Remember;
  /** bool [tokens, keys]; default causal. */
  readonly mask?: () => JaxArray;
  /** Rotary tables of the pass's positions, [tokens, headDim / 2]. */
  readonly rope: () => { readonly cos: JaxArray; readonly sin: JaxArray };
}

/** Rotary tables of the first positions. */
export const ropeOf = (
  { numpy: np }: Jax,
  config: LlamaConfig,
  positions: number,
): { cos: JaxArray; sin: JaxArray } => {
  const { cos, sin, half } = ropeTables(config, positions);
  const shape = [positions, half];
  return { cos: np.array(cos, { shape }), sin: np.array(sin, { shape }) };
};

/**
 * A Llama-type decoder in jax-js: ids i32 [batch, tokens] -> logits [batch, tokens, vocabulary]. Weights are [in, out]. `scale` is LoRA's.
 * Every use of a weight takes a reference of it; the caller disposes of the trees.
 */
export const llama =
  ({ numpy: np, nn }: Jax, config: LlamaConfig, scale: number) =>
  (weights: Tree, adapter: Tree, ids: JaxArray, pass: Pass): JaxArray => {
    const [batch, tokens] = ids.shape as [number, number];
    const { heads, keyValueHeads, headDim } = config;

    const linear = (path: string, x: JaxArray): JaxArray => {
      const [a, b] = [adapter[`${path}.lora_A`], adapter[`${path}.lora_B`]];
      const plain = np.matmul(a ? x.ref : x, weights[`${path}.weight`]!.ref);
      return a ? plain.add(np.matmul(np.matmul(x, a.ref), b!.ref).mul(scale)) : plain;
    };
    const norm = (path: string, x: JaxArray): JaxArray => {
      const size = np.sqrt(np.mean(np.square(x.ref), -1, { keepdims: true }).add(config.normEps));
      return x.div(size).mul(weights[`${path}.weight`]!.ref);
    };
    const rotate = (x: JaxArray): JaxArray => {
      const tables = pass.rope();
      const [cos, sin] = [tables.cos.reshape([tokens, 1, headDim / 2]), tables.sin.reshape([tokens, 1, headDim / 2])];
      const [left, right] = np.split(x, 2, -1);
      return np.concatenate([left.ref.mul(cos.ref).sub(right.ref.mul(sin.ref)), right.mul(cos).add(left.mul(sin))], -1);
    };
    const split = (x: JaxArray, count: number): JaxArray => x.reshape([batch, tokens, count, headDim]);

    const attend = (path: string, layer: number, x: JaxArray): JaxArray => {
      const q = rotate(split(linear(`${path}.q_proj`, x.ref), heads));
      const own = {
        k: rotate(split(linear(`${path}.k_proj`, x.ref), keyValueHeads)),
        v: split(linear(`${path}.v_proj`, x), keyValueHeads),
      };
      const { k, v } = pass.remember ? pass.remember(layer, own.k, own.v) : own;
      const joined = nn.dotProductAttention(q, k, v, pass.mask ? { mask: pass.mask() } : { isCausal: true });
      return linear(`${path}.o_proj`, joined.reshape([batch, tokens, heads * headDim]));
    };
    const mlp = (path: string, x: JaxArray): JaxArray => {
      const gate = nn.silu(linear(`${path}.gate_proj`, x.ref));
      return linear(`${path}.down_proj`, gate.mul(linear(`${path}.up_proj`, x)));
    };

    let x = np.take(weights['model.embed_tokens.weight']!.ref, ids, 0);
    for (let i = 0; i < config.layers; i++) {
      const path = `model.layers.${i}`;
      x = x.ref.add(attend(`${path}.self_attn`, i, norm(`${path}.input_layernorm`, x)));
      x = x.ref.add(mlp(`${path}.mlp`, norm(`${path}.post_attention_layernorm`, x)));
    }
    return linear('lm_head', norm('model.norm', x));
  };
