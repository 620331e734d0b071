import { byteSize, isVariable, type Program, type Tensor, type Variable } from '@peftjs/tensor';
import { byName, type Node, type OpNode, outputOf } from '@peftjs/tensor/executor';
import type { Packing } from '../kernel.ts';
import { kernelOf } from '../kernel-of.ts';
import { rootOf } from './values.ts';

/**
 * Ops that run as one, because what each does to its tensors it would also do to all of them laid end to end: the optimiser's steps of many
 * small weights, the norm of many gradients.
 */
export interface Pack {
  readonly packing: Packing;
  /** In execution order. */
  readonly members: readonly OpNode[];
}

/** Larger tensors keep a device busy by themselves. */
const largestMember = 4 * 2 ** 20;
/** Bytes laid end to end, at most. */
const largestPack = 64 * 2 ** 20;

const packingOf = ({ op }: OpNode): Packing | null => {
  const kernel = kernelOf(op);
  return (kernel.kind === 'dispatch' && kernel.packs) || null;
};

/** The inputs of a member, by name. */
export const inputsOf = (node: OpNode): Readonly<Record<string, Tensor>> => byName(node.op, node.inputs);

const bytesOf = (node: OpNode): number => byteSize(inputsOf(node)[packingOf(node)!.along[0]!]!);

const isSmall = (node: OpNode): boolean => bytesOf(node) > 0 && bytesOf(node) <= largestMember;

/** The key that ops share which run as one. */
const sharedKey = (node: OpNode, { along, carry }: Packing): string => {
  const shared = Object.entries(inputsOf(node)).filter(([name]) => !along.includes(name) && name !== carry);
  return `${node.op.name} ${JSON.stringify(node.attrs)} ${shared.map(([name, t]) => `${name} ${t.node.id}.${t.index}`)}`;
};

/** Cuts a list so that no part takes more than a pack may. */
const cut = (nodes: readonly OpNode[]): OpNode[][] => {
  const parts: OpNode[][] = [];
  let bytes = Number.POSITIVE_INFINITY;
  for (const node of nodes) {
    if (bytes + bytesOf(node) > largestPack) {
      parts.push([]);
      bytes = 0;
    }
    parts.at(-1)!.push(node);
    bytes += bytesOf(node);
  }
  return parts.filter((part) => part.length > 1);
};

/** Finds what can run as one in a program. */
export const findPacks = (program: Program): Pack[] => {
  const readers = new Map<Node, OpNode[]>();
  for (const node of program.nodes)
    for (const t of node.inputs) if (t) (readers.get(t.node) ?? readers.set(t.node, []).get(t.node)!).push(node);
  const results = [...program.outputs.values(), ...program.updates.map(([, t]) => t)];
  const resultRoots = new Set(results.map((t) => rootOf(t).node));
  const targetOf = new Map(program.updates.map(([v, t]) => [`${t.node.id}.${t.index}`, v.node]));
  const shown = new Set([...program.outputs.values()].map((t) => rootOf(t).node));

  /** Whether all that an op makes goes into the variables it was made of, and nobody wants to see their old or new values. */
  const onlyUpdates = (node: OpNode, updates: Readonly<Record<string, string>>): boolean => {
    const inputs = inputsOf(node);
    const variables = Object.values(updates).map((name) => inputs[name]!);
    return (
      !readers.has(node) &&
      !shown.has(node) &&
      new Set(variables.map((t) => t.node)).size === variables.length &&
      variables.every((t) => isVariable(t) && !resultRoots.has(t.node)) &&
      node.outs.every((_, i) => targetOf.get(`${node.id}.${i}`) === inputs[updates[`out${i}`]!]!.node)
    );
  };

  const groups = new Map<string, OpNode[]>();
  const chains: OpNode[][] = [];
  const taken = new Set<Node>();
  for (const node of program.nodes) {
    const packing = packingOf(node);
    if (!packing || !isSmall(node)) continue;
    if (packing.updates && onlyUpdates(node, packing.updates)) {
      const variables = Object.values(packing.updates).map((name) => inputsOf(node)[name]!.node);
      if (variables.some((v) => taken.has(v))) continue;
      for (const v of variables) taken.add(v);
      const key = sharedKey(node, packing);
      (groups.get(key) ?? groups.set(key, []).get(key)!).push(node);
    }
    if (packing.carry === undefined) continue;
    const before = inputsOf(node)[packing.carry]!.node;
    const chain = chains.find((c) => c.at(-1) === before);
    const last = chain?.at(-1);
    if (
      chain &&
      last &&
      readers.get(last)!.length === 1 &&
      !resultRoots.has(last) &&
      sharedKey(last, packing) === sharedKey(node, packing)
    )
      chain.push(node);
    else chains.push([node]);
  }
  return [...groups.values(), ...chains].flatMap(cut).map((members) => ({ packing: packingOf(members[0]!)!, members }));
};

/** The variables that a pack writes, by the name of the input, in the order of its members. */
export const variablesOf = ({ packing, members }: Pack): Readonly<Record<string, readonly Variable[]>> =>
  Object.fromEntries(
    Object.values(packing.updates ?? {}).map((name) => [name, members.map((node) => inputsOf(node)[name] as Variable)]),
  );

/** The first output of the last member: what a chain comes to. */
export const resultOf = ({ members }: Pack): Tensor => outputOf(members.at(-1)!);
