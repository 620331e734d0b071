import { readFile } from 'node:fs/promises';
import type { LlamaConfig, WeightSource } from '../src/index.ts';

/** llama2.c pairs the rotated values (2i, 2i+1), Hugging Face (i, i + headDim/2): the rows of each head are reordered. */
const toHalves = (weight: Float32Array, rows: number, columns: number, headDim: number): Float32Array => {
  const out = new Float32Array(weight.length);
  for (let row = 0; row < rows; row++) {
    const [head, i] = [Math.floor(row / headDim), row % headDim];
    const to = head * headDim + (i % 2) * (headDim / 2) + Math.floor(i / 2);
    out.set(weight.subarray(row * columns, (row + 1) * columns), to * columns);
  }
  return out;
};

/** Reads a model in the format of llama2.c, version 0. https://github.com/karpathy/llama2.c */
export const readLlama2c = async (
  path: string,
): Promise<{ readonly config: LlamaConfig; readonly weights: WeightSource }> => {
  const bytes = await readFile(path);
  const header = new Int32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + 28));
  const [dim, hidden, layers, heads, kvHeads, vocab, context] = header as unknown as [
    number,
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const floats = new Float32Array(bytes.buffer.slice(bytes.byteOffset + 28, bytes.byteOffset + bytes.length));
  let at = 0;
  const take = (size: number): Float32Array => floats.subarray(at, (at += size));
  const tensors = new Map<string, Float32Array>();
  const headDim = dim / heads;
  const kvDim = kvHeads * headDim;
  const perLayer = (name: string, size: number, change = (w: Float32Array): Float32Array => w): void => {
    for (let i = 0; i < layers; i++) tensors.set(`model.layers.${i}.${name}.weight`, change(take(size)));
  };
  tensors.set('model.embed_tokens.weight', take(Math.abs(vocab) * dim));
  perLayer('input_layernorm', dim);
  perLayer('self_attn.q_proj', dim * dim, (w) => toHalves(w, dim, dim, headDim));
  perLayer('self_attn.k_proj', kvDim * dim, (w) => toHalves(w, kvDim, dim, headDim));
  perLayer('self_attn.v_proj', kvDim * dim);
  perLayer('self_attn.o_proj', dim * dim);
  perLayer('post_attention_layernorm', dim);
  perLayer('mlp.gate_proj', hidden * dim);
  perLayer('mlp.down_proj', dim * hidden);
  perLayer('mlp.up_proj', hidden * dim);
  tensors.set('model.norm.weight', take(dim));
  take(context * headDim); // the rotary tables, which are computed here
  if (vocab < 0) tensors.set('lm_head.weight', take(-vocab * dim));
  if (at !== floats.length) throw new Error(`${path}: ${floats.length} values, the header makes it ${at}`);
  const config: LlamaConfig = {
    modelType: 'llama',
    vocabSize: Math.abs(vocab),
    hiddenSize: dim,
    intermediateSize: hidden,
    layers,
    heads,
    keyValueHeads: kvHeads,
    headDim,
    maxPositions: context,
    normEps: 1e-5,
    tieWordEmbeddings: vocab > 0,
    attentionBias: false,
    mlpBias: false,
    activation: 'silu',
    ropeTheta: 10_000,
    ropeScaling: null,
    bosId: 1,
    eosIds: [1, 2],
    padId: null,
    architectures: [],
    labels: null,
  };
  return { config, weights: { has: (name) => tensors.has(name), load: (name) => tensors.get(name)! } };
};

/** The pieces of a llama2.c vocabulary: i32 longest piece, then f32 score, i32 length, UTF-8 bytes for each. */
export const readPieces = async (path: string, count: number): Promise<string[]> => {
  const bytes = await readFile(path);
  let at = 4;
  return Array.from({ length: count }, () => {
    const length = bytes.readInt32LE(at + 4);
    at += 8 + length;
    return bytes
      .toString('utf8', at - length, at)
      .replace(/^<0x([0-9A-F]{2})>$/, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  });
};
