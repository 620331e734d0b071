import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openSafetensors } from '@peftjs/io';
import type { BatchFile } from '../../data/batch.ts';
import { loadLora, loadWeights, type Weight } from '../../peers/load-weights.ts';
import type { GenerateTask, MatmulTask, StepTask } from '../../tasks/task.ts';
import type { Worker } from '../stack.ts';
import { llama, ropeOf } from './llama.ts';
import type { Jax, JaxArray, Tree } from './types.ts';

type Run = Worker['run'];

const readJson = async <T>(dir: string, name: string): Promise<T> =>
  JSON.parse(await readFile(join(dir, name), 'utf8')) as T;

/** Matrices as [in, out], which JAX's users keep them in; the embedding as it is. */
const treeOf = ({ numpy: np }: Jax, tensors: ReadonlyMap<string, Weight>): Tree =>
  Object.fromEntries(
    [...tensors].map(([name, { shape, data }]) => {
      if (shape.length < 2 || name.includes('embed')) return [name, np.array(data, { shape })];
      const [rows, columns] = shape as [number, number];
      const turned = new Float32Array(data.length);
      for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) turned[c * rows + r] = data[r * columns + c]!;
      return [name, np.array(turned, { shape: [columns, rows] })];
    }),
  );

/** A product under jit. */
export const openMatmul = async (jax: Jax, dir: string, task: MatmulTask): Promise<Run> => {
  const { numpy: np } = jax;
  await using file = await openSafetensors(join(dir, 'operands.safetensors'));
  const operand = async (name: string): Promise<JaxArray> =>
    np.array(await file.readFloat32(name), { shape: file.tensors.get(name)!.shape });
  const [a, b] = [await operand('a'), await operand('b')];
  const turned = (x: JaxArray, isTurned: boolean): JaxArray => (isTurned ? np.transpose(x) : x);
  const product = jax.jit((x: JaxArray, y: JaxArray) =>
    np.mean(np.mean(np.square(np.matmul(turned(x, task.transposeA), turned(y, task.transposeB))), 1)),
  );
  return async () => [(await product(a.ref, b.ref).data())[0]!];
};

interface State {
  trained: Tree;
  m: Tree;
  v: Tree;
}

/** A whole step under one jit: loss, gradients and AdamW. */
export const openStep = async (jax: Jax, dir: string, task: StepTask): Promise<Run> => {
  const { numpy: np, nn, tree } = jax;
  const { config, tensors } = await loadWeights(dir);
  const isFull = task.method === 'full';
  const base = treeOf(jax, tensors);
  const frozen: Tree = isFull ? {} : base;
  const trained: Tree = isFull ? base : treeOf(jax, await loadLora(dir));
  const zeros = (): Tree => Object.fromEntries(Object.entries(trained).map(([name, p]) => [name, np.zeros(p.shape)]));
  const model = llama(jax, config, task.alpha / task.rank);
  const rows = task.batch * task.tokens;

  const lossOf = (
    params: Tree,
    fixed: Tree,
    ids: JaxArray,
    labels: JaxArray,
    cos: JaxArray,
    sin: JaxArray,
  ): JaxArray => {
    const rope = (): { cos: JaxArray; sin: JaxArray } => ({ cos: cos.ref, sin: sin.ref });
    const logits = model(isFull ? params : fixed, isFull ? {} : params, ids, { rope }).reshape([
      rows,
      config.vocabSize,
    ]);
    const chosen = np.sum(logits.ref.mul(nn.oneHot(labels, config.vocabSize)), -1);
    const loss = np.mean(nn.logsumexp(logits, -1).sub(chosen));
    tree.dispose([params, fixed, cos, sin]);
    return loss;
  };
  const step = jax.jit(
    (
      { trained, m, v }: State,
      fixed: Tree,
      ids: JaxArray,
      labels: JaxArray,
      cos: JaxArray,
      sin: JaxArray,
      corrections: JaxArray,
    ) => {
      const [loss, grads] = jax.valueAndGrad(lossOf)(tree.ref(trained), fixed, ids, labels, cos, sin);
      const [c1, c2] = np.split(corrections, 2, 0);
      const next: State = { trained: {}, m: {}, v: {} };
      for (const [name, g] of Object.entries(grads)) {
        const first = m[name]!.mul(0.9).add(g.ref.mul(0.1));
        const second = v[name]!.mul(0.999).add(np.square(g).mul(0.001));
        next.m[name] = first.ref;
        next.v[name] = second.ref;
        const size = np.sqrt(second.div(c2.ref)).add(1e-8);
        next.trained[name] = trained[name]!.sub(first.div(c1.ref).div(size).mul(task.learningRate));
      }
      tree.dispose([c1, c2]);
      return { loss, next };
    },
  );

  const batch = await readJson<BatchFile>(dir, 'batch.json');
  const ids = np.array(Int32Array.from(batch.ids), { shape: [task.batch, task.tokens], dtype: np.int32 });
  const labels = np.array(Int32Array.from(batch.labels), { shape: [rows], dtype: np.int32 });
  const { cos, sin } = ropeOf(jax, config, task.tokens);
  let state: State = { trained, m: zeros(), v: zeros() };
  let count = 0;
  return async () => {
    count++;
    const corrections = np.array(Float32Array.of(1 - 0.9 ** count, 1 - 0.999 ** count));
    const { loss, next } = step(state, tree.ref(frozen), ids.ref, labels.ref, cos.ref, sin.ref, corrections);
    state = next;
    return [(await loss.data())[0]!];
  };
};

/** Prefill and decode under jit, with a cache of fixed size that is passed along; tokens stay on the device until the end. */
export const openGenerate = async (jax: Jax, dir: string, task: GenerateTask): Promise<Run> => {
  const { numpy: np, tree } = jax;
  const { config, tensors } = await loadWeights(dir);
  const weights = treeOf(jax, tensors);
  const model = llama(jax, config, 1);
  const slots = task.prompt + task.tokens;
  const tables = ropeOf(jax, config, slots);
  const prompt = np.array(Int32Array.from(await readJson<number[]>(dir, 'prompt.json')), {
    shape: [1, task.prompt],
    dtype: np.int32,
  });
  const likeliest = (logits: JaxArray, tokens: number): JaxArray => {
    const rest = tokens > 1 ? np.split(logits, tokens, 1) : [logits];
    const last = rest[tokens - 1]!;
    tree.dispose(rest.slice(0, -1));
    return np.argmax(last.reshape([1, config.vocabSize]), -1).reshape([1, 1]);
  };
  const width = [1, slots - task.prompt, config.keyValueHeads, config.headDim];

  const prefill = jax.jit((w: Tree, ids: JaxArray, cos: JaxArray, sin: JaxArray) => {
    const cache: Tree = {};
    const padded = (x: JaxArray): JaxArray => np.concatenate([x, np.zeros(width)], 1);
    const token = likeliest(
      model(w, {}, ids, {
        remember: (layer, k, v) => {
          cache[`k${layer}`] = padded(k.ref);
          cache[`v${layer}`] = padded(v.ref);
          return { k, v };
        },
        rope: () => ({ cos: cos.ref, sin: sin.ref }),
      }),
      task.prompt,
    );
    tree.dispose([w, cos, sin]);
    return { token, cache };
  });

  const decode = jax.jit((w: Tree, cache: Tree, ids: JaxArray, position: JaxArray, cos: JaxArray, sin: JaxArray) => {
    const next: Tree = {};
    const isHere = np.equal(np.arange(slots), position.ref).reshape([1, slots, 1, 1]);
    const put = (name: string, x: JaxArray): JaxArray => {
      const all = np.where(isHere.ref, x, cache[name]!);
      next[name] = all.ref;
      return all;
    };
    const token = likeliest(
      model(w, {}, ids, {
        remember: (layer, k, v) => ({ k: put(`k${layer}`, k), v: put(`v${layer}`, v) }),
        mask: () => np.lessEqual(np.arange(slots), position.ref).reshape([1, 1, 1, slots]),
        rope: () => ({ cos: np.take(cos.ref, position.ref, 0), sin: np.take(sin.ref, position.ref, 0) }),
      }),
      1,
    );
    tree.dispose([w, position, isHere, cos, sin]);
    return { token, cache: next };
  });

  const promptRope = ropeOf(jax, config, task.prompt);
  return async () => {
    let { token, cache } = prefill(tree.ref(weights), prompt.ref, promptRope.cos.ref, promptRope.sin.ref);
    const tokens = [token.ref];
    for (let at = task.prompt; at < slots - 1; at++) {
      const position = np.array(Int32Array.of(at), { dtype: np.int32 });
      ({ token, cache } = decode(tree.ref(weights), cache, token, position, tables.cos.ref, tables.sin.ref));
      tokens.push(token.ref);
    }
    tree.dispose([token, cache]);
    return Promise.all(tokens.map(async (t) => (await t.data())[0]!));
  };
};
