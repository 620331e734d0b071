import { byteSize, type Program, sizeOf } from '@peftjs/tensor';
import type { Node, OpNode } from '@peftjs/tensor/executor';
import { kernelOf } from '../kernel-of.ts';
import { isElementwise, type Readers, readersOf } from './readers.ts';

/**
 * A unit that runs as one: elementwise ops over one number of elements, by themselves or on what a kernel is about to store. Of the kernel's own
 * output only what others need is stored, as of the members'.
 */
export interface Unit {
  /** The op with a kernel of its own. */
  readonly kernel: OpNode | null;
  /** Elementwise ops in execution order; cheap ones may be members of several units. */
  readonly members: readonly OpNode[];
  /** Those, `kernel` included, whose values are stored. */
  readonly outs: ReadonlySet<OpNode>;
}

/** Larger kernels take long to compile and gain little. */
const maxMembers = 48;

/** Ops that shall run together. */
interface Group {
  readonly nodes: ReadonlySet<OpNode>;
  readonly kernel: OpNode | null;
  /** Positions in the program of the first and the last. */
  readonly first: number;
  readonly last: number;
}

const emits = ({ op }: OpNode): boolean => {
  const kernel = kernelOf(op);
  return kernel.kind === 'dispatch' && (kernel.emits ?? false);
};

/** The limits of a kernel's bindings: so many buffers, and bytes of each. */
interface Limits {
  readonly maxBindings: number;
  readonly maxBindingBytes: number;
}

const sizeOfOut = (node: OpNode): number => sizeOf(node.outs[0]!.shape);

/** Words shorter than 32 bits are written by pairs or fours, which a kernel that emits single elements can't. */
const isWholeWord = ({ outs: [out] }: OpNode): boolean => out!.dtype !== 'f16' && out!.dtype !== 'u8';

const join = (groups: readonly Group[]): Group => ({
  nodes: new Set(groups.flatMap((g) => [...g.nodes])),
  kernel: groups.find((g) => g.kernel)?.kernel ?? null,
  first: Math.min(...groups.map((g) => g.first)),
  last: Math.max(...groups.map((g) => g.last)),
});

/** Bindings of a group: what the kernel binds (a scratch buffer too), what is loaded, what is stored. */
const bindingsOf = (group: Group, { inputsOf, isOut }: Readers): number => {
  const loaded = new Set<string>();
  let stored = 0;
  for (const node of group.nodes) {
    if (node !== group.kernel)
      for (const { node: from, index } of inputsOf(node))
        if (!group.nodes.has(from as OpNode)) loaded.add(`${from.id}.${index}`);
    if (isOut(node, group.nodes)) stored++;
  }
  return loaded.size + stored + (group.kernel ? group.kernel.inputs.filter((input) => input !== null).length + 1 : 0);
};

/** Whether something outside would have to run both after and before the groups, if they were one. */
const hasPathBack = (
  groups: readonly Group[],
  last: number,
  { readersOf: readers }: Readers,
  groupOf: (node: OpNode) => Group,
): boolean => {
  const own = new Set(groups);
  const seen = new Set<Group>();
  const stack: Group[] = [];
  const visit = (group: Group): boolean => {
    for (const node of group.nodes)
      for (const reader of readers(node)) {
        const next = groupOf(reader);
        if (own.has(next)) {
          if (!own.has(group)) return true;
        } else if (!seen.has(next) && next.first < last) {
          seen.add(next);
          stack.push(next);
        }
      }
    return false;
  };
  if (groups.some(visit)) return true;
  for (let group = stack.pop(); group; group = stack.pop()) if (visit(group)) return true;
  return false;
};

/** Groups ops greedily, in program order: an elementwise op joins the groups of its operands where that leaves an order to run in. */
const groupOps = (program: Program, readers: Readers, { maxBindings, maxBindingBytes }: Limits): Map<OpNode, Group> => {
  // What is stored in parts, nothing joins.
  const mayTakeMore = (node: OpNode): boolean => emits(node) && byteSize(node.outs[0]!) <= maxBindingBytes;
  const groups = new Map<OpNode, Group>();
  const groupOf = (node: OpNode): Group => groups.get(node)!;
  for (const [at, node] of program.nodes.entries()) {
    const { kind } = kernelOf(node.op);
    if (kind === 'view' || readers.isInlined(node)) continue;
    groups.set(node, { nodes: new Set([node]), kernel: kind === 'dispatch' ? node : null, first: at, last: at });
  }

  /** Whether a kernel runs too late for ops to join it. They run where it stores its first output: they can't make its inputs, nor read another output. */
  const runsTooLate = ({ kernel, nodes }: Group): boolean =>
    kernel !== null &&
    (readers.inputsOf(kernel).some((t) => nodes.has(t.node as OpNode)) ||
      [...nodes].some((node) => readers.inputsOf(node).some((t) => t.node === kernel && t.index > 0)));

  const mayJoin = (parts: readonly Group[]): boolean => {
    const kernels = parts.filter((g) => g.kernel).length;
    const whole = join(parts);
    return (
      kernels <= 1 &&
      whole.nodes.size <= maxMembers &&
      (kernels === 0 || ([...whole.nodes].every(isWholeWord) && !runsTooLate(whole))) &&
      !hasPathBack(parts, whole.last, readers, groupOf) &&
      bindingsOf(whole, readers) <= maxBindings
    );
  };

  /** The groups whose values a node reads element by element, latest first. */
  const neighbours = (node: OpNode): Group[] => {
    const producers = readers
      .inputsOf(node)
      .flatMap(({ node: from, index }) =>
        from.kind === 'op' &&
        index === 0 &&
        sizeOfOut(from) === sizeOfOut(node) &&
        (isElementwise(from) || mayTakeMore(from))
          ? [groupOf(from)]
          : [],
      );
    // Those that compute the same for themselves can do it once, together.
    const siblings = readers
      .inlinedInto(node)
      .flatMap((inlined) => readers.sharing(inlined).filter((other) => other !== node && other.id < node.id))
      .map(groupOf)
      .filter((group) => !group.kernel);
    return [...new Set([...producers, ...siblings])].sort((a, b) => b.last - a.last);
  };

  for (const node of program.nodes) {
    if (!isElementwise(node) || readers.isInlined(node) || sizeOfOut(node) === 0) continue;
    let own = groupOf(node);
    const around = neighbours(node);
    const take = (parts: readonly Group[]): void => {
      own = join(parts);
      for (const member of own.nodes) groups.set(member, own);
    };
    // Together they may hold what reads across them; if they don't fit together, as many as do.
    if (mayJoin([...around, own])) take([...around, own]);
    else for (const group of around) if (mayJoin([group, own])) take([group, own]);
  }
  return groups;
};

/** Groups in an order where all come after those that they read; near the order of the program, so that lifetimes stay short. */
const inOrder = (
  groups: ReadonlyMap<OpNode, Group>,
  { inputsOf }: Readers,
  positionOf: (node: OpNode) => number,
): Group[] => {
  const order = (g: Group): number => (g.kernel ? positionOf(g.kernel) : g.last);
  const done = new Set<Group>();
  const sorted: Group[] = [];
  const place = (group: Group): void => {
    if (done.has(group)) return;
    done.add(group);
    for (const node of group.nodes)
      for (const { node: from } of inputsOf(node)) if (from.kind === 'op') place(groups.get(from)!);
    sorted.push(group);
  };
  for (const group of [...new Set(groups.values())].sort((a, b) => order(a) - order(b))) place(group);
  return sorted;
};

/**
 * The units of a program, in order. Elementwise ops join the kernels that make their operands, as long as an order to run in is left;
 * a value is computed twice only where that is cheaper than to store it (see `readersOf`). `maxBindings` is the number of buffers that
 * a kernel may bind, `maxBindingBytes` what it may bind of each.
 */
export const fuse = (
  program: Program,
  maxBindings: number,
  maxBindingBytes: number = Number.POSITIVE_INFINITY,
): Unit[] => {
  const readers = readersOf(program);
  const position = new Map<Node, number>(program.nodes.map((node, i) => [node, i]));
  const positionOf = (node: OpNode): number => position.get(node)!;
  const groups = groupOps(program, readers, { maxBindings, maxBindingBytes });
  return inOrder(groups, readers, positionOf).flatMap(({ nodes, kernel }): Unit[] => {
    const members = new Set([...nodes].filter((node) => node !== kernel));
    for (const node of members) for (const inlined of readers.inlinedInto(node)) members.add(inlined);
    if (!kernel && [...nodes].every((node) => sizeOfOut(node) === 0)) return [];
    const outs = new Set([...nodes].filter((node) => readers.isOut(node, nodes)));
    return [{ kernel, members: [...members].sort((a, b) => positionOf(a) - positionOf(b)), outs }];
  });
};
