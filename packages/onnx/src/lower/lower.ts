import {
  isWhole,
  type Packed,
  type PackedAttrs,
  PeftError,
  type Program,
  type Spec,
  sizeOf,
  type Tensor,
} from '@peftjs/tensor';
import { byName, type ConstantNode, type Node, type OpNode, ops } from '@peftjs/tensor/executor';
import type { ElementType, ModelProto, NodeProto, TensorProto, ValueProto } from '../proto/model.ts';
import { bytesOf, Emitter, elementType, type Value, widen } from './emitter.ts';
import type { BitsMatrix } from './few-rows.ts';
import { fuse } from './fuse.ts';
import type { Rule } from './rule.ts';
import { lowerings } from './table.ts';

/** A program as an ONNX graph. */
export interface Lowered {
  readonly model: ModelProto;
  /** The leaves that are fed at every run, by the name of the graph's input: inputs, variables, large constants. */
  readonly feeds: ReadonlyMap<string, Node>;
  /** The graph's output for each result; null where it holds no values. */
  readonly results: readonly (string | null)[];
  /** Where nodes of the graph come from, for errors: by their names up to the first full stop. */
  readonly origins: ReadonlyMap<string, OpNode>;
  /** All leaves by the names of their values, those that no node reads too. */
  readonly leaves: ReadonlyMap<string, Node>;
  /** Packed matrices that are constants, whose values its maker brings along. */
  readonly bitsMatrices: readonly BitsMatrix[];
  /** The values of the graph by name. */
  readonly values: ReadonlyMap<string, Value>;
}

/** Values that a model brings along. */
export interface Embedded {
  readonly data: TensorProto['data'];
  readonly type: ElementType;
}

/** How to lower. */
export interface LowerOptions {
  /** The tensors to compute, in order. Default: the program's outputs, then its updates. */
  readonly results?: readonly Tensor[];
  /** A name for a leaf or for the result of a position. Default: made up. */
  readonly nameOf?: (what: Node | number) => string;
  /** Leaves whose values go into the model; the others are its inputs. Default: constants of up to 1 MiB. */
  readonly embed?: (node: Node) => Embedded | null;
  /** Makes inputs of the program, by name, from inputs of the graph's own. Default: each is one of the graph. */
  readonly inputs?: (g: Emitter) => GraphInputs;
  /** Whether the program has other sizes in other runs, so that its graph must not depend on them. Default false. */
  readonly sizesAreFree?: boolean;
  /** Whether packed matrices that the program does not change may be constants whose values are brought along. Default false. */
  readonly packsBits?: boolean;
}

/** Inputs of a graph that are not those of the program, and what the program's are made of them. */
export interface GraphInputs {
  readonly declared: readonly ValueProto[];
  readonly values: ReadonlyMap<string, Value>;
}

/** Constants up to this size are in the model, where ONNX Runtime folds them; larger ones are fed without a copy. */
const embeddedBytes = 2 ** 20;

/** A constant of any size, widened. */
export const embedConstant = (node: ConstantNode): Embedded => {
  const { dtype } = node.outs[0]!;
  return { data: bytesOf(widen(dtype, node.data)), type: elementType(dtype) };
};

const embedSmall = (node: Node): Embedded | null =>
  node.kind === 'constant' && node.data.byteLength <= embeddedBytes ? embedConstant(node) : null;

const needed = (nodes: readonly OpNode[], results: readonly Tensor[]): Set<Node> => {
  const wanted = new Set<Node>(results.map((t) => t.node));
  for (const node of nodes.toReversed()) if (wanted.has(node)) for (const t of node.inputs) if (t) wanted.add(t.node);
  return wanted;
};

/** The nodes that outputs depend on, in order. */
const prune = (nodes: readonly NodeProto[], outputs: readonly string[]): NodeProto[] => {
  const wanted = new Set(outputs);
  return nodes
    .toReversed()
    .filter((n) => {
      const keep = n.outputs.some((name) => wanted.has(name));
      if (keep) for (const name of n.inputs) wanted.add(name);
      return keep;
    })
    .reverse();
};

/** By record: an op that only has the name of one of ours is another. */
const rules: ReadonlyMap<unknown, Rule<string>> = new Map(
  Object.entries(lowerings).map(([name, rule]) => [ops[name as keyof typeof ops], rule as unknown as Rule<string>]),
);

/** The type of a leaf that is fed: variables in f16 as they are stored, those of bytes that stand for signed numbers as such. */
const leafType = (node: Node, signed: ReadonlySet<Node>): ElementType => {
  const { dtype } = node.outs[0]!;
  if (signed.has(node)) return 'int8';
  return node.kind === 'variable' && dtype === 'f16' ? 'float16' : elementType(dtype);
};

/** Losses by a head, which may be of whole numbers: it has scales then. */
const byHead = new Set<unknown>([ops.head_cross_entropy, ops.head_label_losses]);

/** The input that an op multiplies by as whole numbers in two's complement; null where it has none. */
const wholeInput = ({ op, attrs, inputs }: OpNode): Tensor | null => {
  const given = byName(op, inputs) as Readonly<Record<string, Tensor | null | undefined>>;
  if (byHead.has(op)) return given['scale'] ? given['weight']! : null;
  const { compute } = attrs as { readonly compute?: 'int8' };
  const { x: _, ...parts } = given;
  return compute && isWhole(attrs as PackedAttrs, parts as unknown as Packed<Tensor>) ? given['codes']! : null;
};

const isGather = (op: unknown): boolean => op === ops.gather;

/** Variables of bytes that everything takes as numbers in two's complement: fed as such, no run has to turn them into that. */
const signedOf = (nodes: readonly OpNode[], results: readonly Tensor[]): Set<Node> => {
  const wholes = nodes.map((node) => wholeInput(node)?.node);
  const signed = new Set<Node>(wholes.filter((node) => node?.kind === 'variable'));
  // Rows of a table come as they are, whatever their bytes stand for.
  for (const [i, { op, inputs }] of nodes.entries())
    for (const [at, t] of inputs.entries())
      if (t && t.node !== wholes[i] && !(op.inputs[at] === 'table' && isGather(op))) signed.delete(t.node);
  for (const { node } of results) signed.delete(node);
  return signed;
};

/**
 * The inputs of an op, those stored as f16 in f32. Each use widens for itself: a weight is whole in f32 only as long as one product takes, not from the forward pass to the backward one.
 */
const inFloats = (
  g: Emitter,
  { op, inputs }: OpNode,
  valueOf: (t: Tensor) => Value,
): readonly (Value | null | undefined)[] => {
  const values = inputs.map((t) => t && valueOf(t));
  const own = asStored.get(op);
  return values.map((v, i) => (v?.type === 'float16' && op.inputs[i] !== own ? g.widened(v) : v));
};

/** The input of which an op's rule makes the best as it is stored, f16 too: rows of a table, the right side of a product. */
const asStored: ReadonlyMap<unknown, string> = new Map<unknown, string>([
  [ops.gather, 'table'],
  [ops.matmul, 'b'],
  [ops.head_cross_entropy, 'weight'],
  [ops.head_label_losses, 'weight'],
]);

const lowerNode = (
  g: Emitter,
  node: OpNode,
  valueOf: (t: Tensor) => Value,
  isUsed: (index: number) => boolean,
): readonly (Value | null)[] => {
  const { op, attrs, outs } = node;
  g.label = `${op.name}_${node.id}`;
  if (outs.every((out) => sizeOf(out.shape) === 0)) return outs.map((out) => g.zeros(out));
  const rule = rules.get(op);
  if (!rule)
    throw new PeftError(
      'bad-program',
      `${op.name}: the cpu executor has no lowering for it; express it in ops of @peftjs/tensor`,
    );
  const made = rule(
    {
      ...byName(op, inFloats(g, node, valueOf)),
      g,
      out: outs[0]!,
      outs,
      stored: byName(
        op,
        node.inputs.map((t) => t && valueOf(t)),
      ),
      isUsed,
    } as never,
    attrs,
  );
  return Array.isArray(made) ? (made as readonly (Value | null)[]) : [made as Value];
};

/** Gives each result a name of its own: that of the node that makes it, or a copy of a leaf or of a value that another result has. */
const nameResults = (
  g: Emitter,
  results: readonly ({ readonly value: Value; readonly name: string; readonly spec: Spec } | null)[],
): ValueProto[] => {
  const renamed = new Map<string, string>();
  const made = new Set(g.nodes.flatMap((n) => n.outputs));
  const outputs = results.flatMap((result) => {
    if (!result) return [];
    const { value, name, spec } = result;
    if (made.has(value.name) && !renamed.has(value.name)) renamed.set(value.name, name);
    else {
      g.nodes.push({ name, type: 'Identity', domain: '', inputs: [value.name], outputs: [name], attributes: {} });
      g.values.set(name, { ...value, name });
    }
    return [{ name, type: elementType(spec.dtype), dims: spec.shape }];
  });
  const rename = (name: string): string => renamed.get(name) ?? name;
  for (const [from, to] of renamed) g.values.set(to, { ...g.values.get(from)!, name: to });
  g.nodes.forEach((n, i) => (g.nodes[i] = { ...n, inputs: n.inputs.map(rename), outputs: n.outputs.map(rename) }));
  return outputs;
};

/** The names of variables that a program leaves as they are. */
const frozenOf = (program: Program, feeds: ReadonlyMap<string, Node>): Set<string> => {
  const changed = new Set<Node>(program.updates.map(([v]) => v.node));
  return new Set([...feeds].flatMap(([name, node]) => (node.kind === 'variable' && !changed.has(node) ? [name] : [])));
};

/** A program as an ONNX graph. Throws `bad-program` for an op that has no rule. */
export const lower = (program: Program, options: LowerOptions = {}): Lowered => {
  const { results = [...program.outputs.values(), ...program.updates.map(([, t]) => t)], embed = embedSmall } = options;
  const nameOf = options.nameOf ?? ((what) => (typeof what === 'number' ? `result${what}` : `${what.kind}${what.id}`));
  const g = new Emitter();
  const wanted = needed(program.nodes, results);
  const names = results.map((_, i) => g.unique(nameOf(i)));
  const origins = new Map<string, OpNode>();
  const feeds = new Map<string, Node>();
  const values = new Map<Node, readonly (Value | null)[]>();
  g.sizesAreFree = options.sizesAreFree ?? false;
  const own = options.inputs?.(g);
  const computed = program.nodes.filter((node) => wanted.has(node));
  const signed = signedOf(computed, results);

  for (const node of [...program.inputs, ...program.constants, ...program.variables.map((v) => v.node)]) {
    if (!wanted.has(node)) continue;
    const ready = node.kind === 'input' && own?.values.get(node.name);
    if (ready) {
      values.set(node, [ready]);
      continue;
    }
    const { shape, dtype } = node.outs[0]!;
    const given = sizeOf(shape) === 0 ? { data: new Uint8Array(), type: elementType(dtype) } : embed(node);
    const type = given ? elementType(dtype) : leafType(node, signed);
    const value = given
      ? g.cast(g.initializer(given.data, given.type, shape, nameOf(node)), type)
      : { name: g.named(nameOf(node), { shape, type }), shape, type };
    if (!given) feeds.set(value.name, node);
    if (node.kind === 'constant' && sizeOf(shape) === 1) g.scalars.set(value.name, widen(dtype, node.data)[0]!);
    values.set(node, [value]);
  }

  if (options.packsBits) g.frozen = frozenOf(program, feeds);
  const valueOf = (t: Tensor): Value => values.get(t.node)![t.index]!;
  for (const node of computed) {
    values.set(
      node,
      lowerNode(g, node, valueOf, (i) => program.isUsed(node, i)),
    );
    origins.set(g.label, node);
  }

  const outputs = nameResults(
    g,
    results.map((t, i) =>
      sizeOf(t.shape) === 0 ? null : { value: g.cast(valueOf(t), elementType(t.dtype)), name: names[i]!, spec: t },
    ),
  );
  const made = outputs.map((v) => v.name);
  const nodes = prune(fuse(g, prune(g.nodes, made), made), made);
  const read = new Set(nodes.flatMap((n) => n.inputs));
  const inputs = [...feeds].flatMap(([name, node]) => {
    const { shape: dims } = node.outs[0]!;
    return read.has(name) ? [{ name, type: leafType(node, signed), dims }] : [];
  });
  return {
    model: {
      nodes,
      inputs: [...(own?.declared ?? []), ...inputs],
      outputs,
      initializers: g.initializers.filter((t) => read.has(t.name)),
    },
    feeds: new Map([...feeds].filter(([name]) => read.has(name))),
    results: results.map((t, i) => (sizeOf(t.shape) === 0 ? null : names[i]!)),
    origins,
    leaves: feeds,
    bitsMatrices: [...g.bitsMatrices.values()],
    values: g.values,
  };
};
