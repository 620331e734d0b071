import {
  type Executable,
  type Feeds,
  type Program,
  type Spec,
  sizeOf,
  type Tensor,
  type TypedArray,
} from '@peftjs/tensor';
import type { Node, VariableNode } from '@peftjs/tensor/executor';
import { widen } from '../lower/emitter.ts';
import { lower } from '../lower/lower.ts';
import { checkMemory } from './memory.ts';
import { peakOf, planOf } from './plan.ts';
import { type HostTensor, openSession, type Runtime, type Session } from './session.ts';
import { splitUpdates } from './split-updates.ts';
import { type HostArray, narrow, type Storage, wideArray } from './storage.ts';

/** A program that the cpu executor can run; it does the checking and the queueing. */
export interface Prepared extends Pick<Executable, 'plan' | 'close'> {
  /** Bytes of what the graph makes while it runs. */
  readonly scratch: number;
  run(feeds: Feeds, read: readonly string[]): Promise<Record<string, TypedArray>>;
}

const emptySession: Session = { run: async () => {}, close: () => {} };

/** What a program may take. */
export interface Resources {
  readonly threads: number;
  /** Bytes that may be allocated now. */
  readonly limit: () => number;
}

/** Compiles a program over stored variables. Throws `out-of-memory` when it cannot fit. */
export const prepare = async (
  program: Program,
  runtime: Runtime,
  storage: Storage,
  { threads, limit }: Resources,
): Promise<Prepared> => {
  const { steps, rest } = splitUpdates(program);
  const isMade = (t: Tensor): boolean => t.node.kind === 'op' && sizeOf(t.shape) > 0;
  const needed = steps.flatMap((s) => [s.grad, s.hyper]).filter(isMade);
  const outputs = [...program.outputs];
  const results = [...outputs.map(([, t]) => t), ...rest.map(([, t]) => t), ...needed];
  const lowered = lower(program, { results });
  const peak = peakOf(lowered);
  checkMemory(program, peak, (v) => storage.has(v.node), limit());
  const session = lowered.model.outputs.length > 0 ? await openSession(runtime, lowered, threads) : emptySession;

  const constants = new Map(
    [...lowered.feeds.values()].flatMap((n) =>
      n.kind === 'constant' ? [[n as Node, widen(n.outs[0]!.dtype, n.data)] as const] : [],
    ),
  );
  const gradients = new Map(needed.map((t) => [t, wideArray(t.dtype, sizeOf(t.shape))]));
  const leaf = (node: Node, feeds: Feeds): HostArray => {
    if (node.kind === 'variable') return storage.value(node as VariableNode);
    if (node.kind === 'input') return widen(node.outs[0]!.dtype, feeds[node.name]!);
    return node.kind === 'constant'
      ? (constants.get(node) ?? widen(node.outs[0]!.dtype, node.data))
      : new Float32Array();
  };
  const tensor = ({ shape }: Spec, data: HostArray): HostTensor => ({ data, shape });

  const run: Prepared['run'] = async (feeds, read) => {
    const inPlace = steps.map((s) => s.state.map((v) => storage.writable(v.node)));
    const given = new Map([...lowered.feeds].map(([name, node]) => [name, tensor(node.outs[0]!, leaf(node, feeds))]));
    const wanted = new Set(read);
    const made = outputs.map(([name, t]) => (wanted.has(name) ? wideArray(t.dtype, sizeOf(t.shape)) : null));
    const targets = [...made, ...rest.map(([v]) => storage.next(v.node)), ...needed.map((t) => gradients.get(t)!)];
    const fetched = new Map(
      targets.flatMap((data, i) =>
        data && lowered.results[i] ? [[lowered.results[i], tensor(results[i]!, data)] as const] : [],
      ),
    );
    if (fetched.size > 0) await session.run(given, fetched);
    const valueOf = (t: Tensor): HostArray => gradients.get(t) ?? leaf(t.node, feeds);
    steps.forEach(({ grad, hyper, run: step }, i) => void step(inPlace[i]!, valueOf(grad), valueOf(hyper)));
    for (const [v] of rest) storage.swap(v.node);
    return Object.fromEntries(
      outputs.flatMap(([name, t], i) =>
        made[i] ? [[name, t.dtype === 'f16' ? narrow('f16', made[i]) : made[i]]] : [],
      ),
    );
  };
  return { plan: planOf(program, lowered, peak), scratch: peak.bytes, run, close: () => session.close() };
};
