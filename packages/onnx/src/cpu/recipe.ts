import { type Packed, type Plan, type Program, type Spec, sizeOf, type Tensor, type Variable } from '@peftjs/tensor';
import { type Node, type OpNode, ops, type VariableNode } from '@peftjs/tensor/executor';
import { widen } from '../lower/emitter.ts';
import { type BitsMatrix, fewRows, packedBytesOf } from '../lower/few-rows.ts';
import { type Lowered, lower } from '../lower/lower.ts';
import { wholeProductType } from '../lower/whole-products.ts';
import { withEnd } from '../proto/end.ts';
import { encodeModel } from '../proto/model.ts';
import { fileOrder } from './execution-order.ts';
import type { HostStepName } from './host-steps.ts';
import { overwritten } from './overwritten.ts';
import { type Peak, peakOf, planOf } from './plan.ts';
import { splitUpdates } from './split-updates.ts';
import type { HostArray, Key } from './storage.ts';

/** Where a value comes from: a stored variable, a feed, a constant of the recipe, or what the graph has just made for the host's steps. */
export type Source =
  | { readonly variable: Key }
  | { readonly feed: string }
  | { readonly constant: number }
  | { readonly made: number };

/** A result of the graph; `graph` is its name there, null where it holds no values. */
interface Result {
  readonly graph: string | null;
  readonly spec: Spec;
}

/**
 * The recipe of a program for an engine: an ONNX model, where its inputs come from, where its results go. Plain data, so that it can be sent to
 * another process.
 */
export interface Recipe {
  /** The encoded model; null where there is nothing to compute. */
  readonly model: Uint8Array | null;
  /** Whether it multiplies whole numbers, which some processors do wrongly. */
  readonly multipliesWhole: boolean;
  readonly constants: readonly HostArray[];
  /** Matrices whose values, made of variables, are constants of the graph as long as these do not change. */
  readonly bits: readonly { readonly matrix: BitsMatrix; readonly parts: Packed<Key> }[];
  /** The graph's inputs, and whether bytes are signed numbers there. */
  readonly inputs: readonly {
    readonly graph: string;
    readonly spec: Spec;
    readonly signed: boolean;
    readonly from: Source;
  }[];
  /** The program's outputs by name. */
  readonly outputs: readonly (Result & { readonly name: string })[];
  /** Variables that take a value made by the graph; `inPlace` where it may be written over the one before. */
  readonly updates: readonly (Result & { readonly variable: Key; readonly inPlace: boolean })[];
  /** Gradients and hyperparameters that the steps need. */
  readonly made: readonly Result[];
  /** Steps of optimisers, done in place after the graph. */
  readonly steps: readonly {
    readonly op: HostStepName;
    readonly state: readonly Key[];
    readonly grad: Source;
    readonly hyper: Source;
  }[];
}

/** A recipe, and what only the executor needs to know of it. */
export interface Prepared {
  readonly recipe: () => Recipe;
  readonly plan: Plan;
  readonly peak: Peak;
  /** Bytes of constants that the runtime makes of variables and keeps. */
  readonly packedBytes: number;
  /** The ops behind the graph's nodes, for errors. */
  readonly origins: ReadonlyMap<string, OpNode>;
}

/** One and the same of all handles of an output. */
const resultKey = ({ node, index }: Tensor): string => `${node.id} ${index}`;
const isMade = (t: Tensor): boolean => t.node.kind === 'op' && sizeOf(t.shape) > 0;
const specOf = ({ shape, dtype }: Spec): Spec => ({ shape, dtype });

/** Lets what else this thread has to do come in between. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Lowers a program and lays out its recipe; the model is encoded when the recipe is asked for, after memory has been checked. */
export const prepare = async (
  program: Program,
  keyOf: (node: VariableNode) => Key,
  packsBits = false,
): Promise<Prepared> => {
  await turn();
  const { steps, rest } = splitUpdates(program);
  // Rates and the like are one result for all parameters.
  const needed = [
    ...new Map(steps.flatMap((s) => [s.grad, s.hyper].filter(isMade).map((t) => [resultKey(t), t] as const))).values(),
  ];
  const outputs = [...program.outputs];
  const lowered = lower(program, {
    results: [...outputs.map(([, t]) => t), ...rest.map(([, t]) => t), ...needed],
    packsBits,
  });
  await turn();
  const over = overwritten(lowered, { steps, rest }, outputs.length);
  const peak = peakOf(lowered, over);
  await turn();
  const plan = planOf(program, lowered, peak);
  await turn();
  return {
    plan,
    peak,
    packedBytes: packedBytesOf(lowered.bitsMatrices),
    origins: lowered.origins,
    recipe: () => layOut(lowered, { outputs, steps, rest, needed, over }, keyOf),
  };
};

/** Whether a program multiplies few rows by packed matrices, and never the other way, as steps of training do. */
export const hasFewRows = ({ nodes }: Program): boolean => {
  const products = nodes.filter(({ op }) => (op as unknown) === ops.matmul_quantized);
  const rowsOf = ({ outs }: OpNode): number => sizeOf(outs[0]!.shape.slice(0, -1));
  return (
    products.some((node) => rowsOf(node) <= fewRows) &&
    !products.some(({ attrs }) => (attrs as { readonly transposed?: boolean }).transposed)
  );
};

interface Parts extends ReturnType<typeof splitUpdates> {
  readonly outputs: readonly (readonly [string, Tensor])[];
  readonly needed: readonly Tensor[];
  readonly over: ReadonlySet<string>;
}

const layOut = (
  { model, feeds, results, bitsMatrices, leaves, values }: Lowered,
  { outputs, steps, rest, needed, over }: Parts,
  keyOf: (node: VariableNode) => Key,
): Recipe => {
  const constants: HostArray[] = [];
  const known = new Map<Node, Source>();
  const constant = (node: Node, data: HostArray): Source => {
    const source = known.get(node) ?? { constant: constants.push(data) - 1 };
    known.set(node, source);
    return source;
  };
  const from = (node: Node): Source => {
    if (node.kind === 'variable') return { variable: keyOf(node) };
    if (node.kind === 'input') return { feed: node.name };
    // An op's result stands here only where it holds no values.
    return constant(node, node.kind === 'constant' ? widen(node.outs[0]!.dtype, node.data) : new Float32Array());
  };
  const made = new Map(needed.map((t, i) => [resultKey(t), i]));
  const fromTensor = (t: Tensor): Source => {
    const index = made.get(resultKey(t));
    return index === undefined ? from(t.node) : { made: index };
  };
  const key = ({ node }: Variable): Key => keyOf(node);
  const laidOut = {
    inputs: [...feeds].map(([graph, node]) => ({
      graph,
      spec: specOf(node.outs[0]!),
      signed: values.get(graph)!.type === 'int8',
      from: from(node),
    })),
    outputs: outputs.map(([name, t], i) => ({ name, graph: results[i]!, spec: specOf(t) })),
    updates: rest.map(([v], i) => {
      const graph = results[outputs.length + i]!;
      return { variable: key(v), graph, spec: specOf(v), inPlace: over.has(graph) };
    }),
    made: needed.map((t, i) => ({ graph: results[outputs.length + rest.length + i]!, spec: specOf(t) })),
    steps: steps.map(({ op, state, grad, hyper }) => ({
      op,
      state: state.map(key),
      grad: fromTensor(grad),
      hyper: fromTensor(hyper),
    })),
  };
  const file = () => encodeModel(withEnd({ ...model, nodes: fileOrder(model) }));
  return {
    ...laidOut,
    constants,
    bits: bitsMatrices.map((matrix) => ({
      matrix,
      parts: Object.fromEntries(
        Object.entries(matrix.parts).map(([part, name]) => [part, keyOf(leaves.get(name) as VariableNode)]),
      ) as unknown as Packed<Key>,
    })),
    model: model.outputs.length > 0 ? file() : null,
    multipliesWhole: model.nodes.some(({ type }) => type === wholeProductType),
  };
};
