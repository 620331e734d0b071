import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Profile, type ProfiledKernel, type Shape, sizeOf } from '@peftjs/tensor';
import type { OpNode } from '@peftjs/tensor/executor';
import { elementBytes } from '../lower/emitter.ts';
import type { ElementType, NodeProto } from '../proto/model.ts';
import { isView } from './buffers.ts';

/** A tensor that a kernel read or wrote. */
interface Touched {
  readonly type: ElementType;
  readonly shape: Shape;
}

/** A kernel as it was timed: of the graph, or a step of an optimiser on the host. */
export interface KernelTime {
  /** The graph's node; null for what no node stands for. */
  readonly node: string | null;
  /** The operator. */
  readonly type: string;
  readonly ms: number;
  readonly inputs: readonly Touched[];
  readonly outputs: readonly Touched[];
}

/** A line of ONNX Runtime's profile, its times in microseconds. */
interface Event {
  readonly cat: string;
  readonly name: string;
  readonly ts: number;
  readonly dur: number;
  readonly args?: {
    readonly op_name?: string;
    readonly input_type_shape?: readonly Readonly<Record<string, Shape>>[];
    readonly output_type_shape?: readonly Readonly<Record<string, Shape>>[];
  };
}

const touched = (list: readonly Readonly<Record<string, Shape>>[] = []): Touched[] =>
  list.flatMap((entry) => Object.entries(entry).map(([type, shape]) => ({ type: type as ElementType, shape })));

const ending = '_kernel_time';

/** The name of the time in which ONNX Runtime had no kernel run: it looks for memory, and for the next node. */
const between = 'between kernels';

/** The kernels of a run that was executed at some time. */
const timesOf = (run: Event, events: readonly Event[]): KernelTime[] => {
  const kernels = events
    .filter(({ ts }) => run.ts <= ts && ts < run.ts + run.dur)
    .map(
      ({ name, dur, args = {} }): KernelTime => ({
        node: name.slice(0, -ending.length),
        type: args.op_name ?? '',
        ms: dur / 1000,
        inputs: touched(args.input_type_shape),
        outputs: touched(args.output_type_shape),
      }),
    );
  const rest = run.dur / 1000 - kernels.reduce((sum, { ms }) => sum + ms, 0);
  return [...kernels, { node: null, type: between, ms: Math.max(0, rest), inputs: [], outputs: [] }];
};

/** Each kernel of a profile's runs, the first excepted, with the least that it took: whatever else the machine did only adds. */
export const kernelTimes = (text: string): KernelTime[] => {
  const events = JSON.parse(text) as readonly Event[];
  const kernels = events.filter(({ cat, name }) => cat === 'Node' && name.endsWith(ending));
  const runs = events.filter(({ name }) => name === 'SequentialExecutor::Execute').slice(1);
  const least = new Map<string, KernelTime>();
  for (const time of runs.flatMap((run) => timesOf(run, kernels))) {
    const key = time.node ?? time.type;
    if (time.ms < (least.get(key)?.ms ?? Number.POSITIVE_INFINITY)) least.set(key, time);
  }
  return [...least.values()];
};

/** Gives a prefix for the files of a profile; `read` tells what the kernels took, and removes the files. */
export const openProfile = async (): Promise<{ readonly prefix: string; read(): Promise<readonly KernelTime[]> }> => {
  const dir = await mkdtemp(join(tmpdir(), 'peftjs-profile-'));
  return {
    prefix: join(dir, 'run'),
    read: async () => {
      try {
        const [file] = await readdir(dir);
        return file === undefined ? [] : kernelTimes(await readFile(join(dir, file), 'utf8'));
      } finally {
        await rm(dir, { recursive: true });
      }
    },
  };
};

/** m, k and n of a product, and how many of them there are; null for any other kernel. */
const productOf = ({ type, inputs, outputs }: KernelTime): readonly [number, number, number, number] | null => {
  const [a, y] = [inputs[0]?.shape, outputs[0]?.shape];
  if (!/MatMul|Gemm/.test(type) || !a || !y || a.length < 2 || y.length < 2) return null;
  const [m, n] = y.slice(-2) as [number, number];
  const k = m === 0 ? 0 : (a.at(-1)! * a.at(-2)!) / m;
  return [m, k, n, sizeOf(y.slice(0, -2))];
};

const labelOf = (kernel: KernelTime): string => {
  if (kernel.outputs.length === 0) return kernel.type;
  const product = productOf(kernel);
  if (!product) return `${kernel.type}(${kernel.outputs[0]!.shape.join('x')})`;
  const [m, k, n, times] = product;
  return `${kernel.type}(${times > 1 ? `${times} of ` : ''}${m}x${k}x${n})`;
};

const flopsOf = (kernel: KernelTime): number => (productOf(kernel) ?? [0]).reduce((n, d) => n * d, 2);

const bytesOf = ({ type, inputs, outputs }: KernelTime): number =>
  isView({ type } as NodeProto)
    ? 0
    : [...inputs, ...outputs].reduce((n, t) => n + sizeOf(t.shape) * (elementBytes[t.type] ?? 0), 0);

const rate = (n: number, ms: number): number => (ms > 0 ? (n * 1000) / ms : 0);

/** Kernels of one operator, op and sizes on a line, most time first. Operations are those of products alone. */
export const profileOf = (times: readonly KernelTime[], origins: ReadonlyMap<string, OpNode>): Profile => {
  const total = times.reduce((sum, { ms }) => sum + ms, 0);
  const kinds = new Map<string, Pick<ProfiledKernel, 'name' | 'op' | 'count' | 'ms' | 'flops' | 'bytes'>>();
  for (const time of times) {
    const op = time.node === null ? time.type : (origins.get(time.node.split('.')[0]!)?.op.name ?? 'graph');
    const name = labelOf(time);
    const { count, ms, flops, bytes } = kinds.get(`${op} ${name}`) ?? { count: 0, ms: 0, flops: 0, bytes: 0 };
    kinds.set(`${op} ${name}`, {
      name,
      op,
      count: count + 1,
      ms: ms + time.ms,
      flops: flops + flopsOf(time),
      bytes: bytes + bytesOf(time),
    });
  }
  const kernels = [...kinds.values()].map(
    (kind): ProfiledKernel => ({
      ...kind,
      share: total > 0 ? kind.ms / total : 0,
      flopsPerSecond: rate(kind.flops, kind.ms),
      bytesPerSecond: rate(kind.bytes, kind.ms),
    }),
  );
  return { ms: total, kernels: kernels.sort((a, b) => b.ms - a.ms) };
};
