import type { Executable, Executor } from '../compile.ts';
import type { Values } from '../define-op.ts';
import { hostArray, type TypedArray } from '../dtype.ts';
import { PeftError } from '../error.ts';
import { checkFeeds, checkWrite } from '../feeds.ts';
import { flopsOf } from '../flops.ts';
import { initialData, type Node, type Tensor, type Variable } from '../graph.ts';
import { halfToNumber, numberToHalf } from '../half.ts';
import { keepOnHost } from '../kept.ts';
import { buildProgram, checkProgram, type Program } from '../program.ts';
import { type Spec, sizeOf } from '../shape.ts';
import { readVariables, valueOwner } from '../value-owner.ts';
import { interpret } from './interpret.ts';

const toValues = ({ dtype }: Spec, data: TypedArray): Values =>
  dtype === 'f16' ? Float64Array.from(data, halfToNumber) : Float64Array.from(data);

const fromValues = ({ dtype, shape }: Spec, values: Values): TypedArray => {
  const data = hostArray(dtype, sizeOf(shape));
  if (dtype === 'f16') values.forEach((v, i) => void (data[i] = numberToHalf(v)));
  else data.set(values);
  return data;
};

/** The executor that interprets programs with each op's plain loops, in double precision: the definition, for tests. */
export const reference = (): Executor => {
  const stored = new Map<Node, Values>();
  const owner = valueOwner('reference');
  let closed = false;
  let peak = 0;

  const checkOpen = (): void => {
    if (closed) throw new PeftError('bad-program', 'reference: the executor is closed; make a new one');
  };

  const storage = async (v: Variable): Promise<void> => {
    if (stored.has(v.node)) return;
    const data = await initialData(v, async (t) => fromValues(t, await made(t)));
    stored.set(v.node, data ? toValues(v, data) : await made(v.node.init as Tensor));
    peak = Math.max(peak, held());
  };

  const made = async (value: Tensor): Promise<Values> => {
    const program = buildProgram({ outputs: { value } });
    owner.check('an initial value', readVariables(program));
    return (await run(program, {}))(program.outputs.get('value')!).slice();
  };

  const run = async (program: Program, feeds: Readonly<Record<string, TypedArray>>): Promise<(t: Tensor) => Values> => {
    for (const v of program.variables) await storage(v);
    return interpret(program, (node) => {
      if (node.kind === 'input') return toValues(node.outs[0]!, feeds[node.name]!);
      return node.kind === 'constant' ? toValues(node.outs[0]!, node.data) : stored.get(node)!;
    });
  };

  const compile = async (program: Program): Promise<Executable> => {
    checkProgram('reference', program);
    checkOpen();
    return {
      plan: {
        peakBytes: 0,
        dispatches: program.nodes.length,
        flops: flopsOf(program),
        bytesMoved: 0,
        tensors: [],
        kernels: [],
      },
      ...keepOnHost([...program.outputs.keys()], async (feeds, read) => {
        checkOpen();
        checkFeeds(program, feeds);
        owner.check('a run', readVariables(program));
        const valueOf = await run(program, feeds);
        const results = Object.fromEntries(
          read.map((name) => [name, fromValues(program.outputs.get(name)!, valueOf(program.outputs.get(name)!))]),
        );
        const next = program.updates.map(([v, t]) => [v, valueOf(t).slice()] as const);
        for (const [v, values] of next) stored.set(v.node, values);
        owner.changed(program.updates.map(([v]) => v));
        return results;
      }),
      close: () => {},
    };
  };

  const held = (): number => [...stored.values()].reduce((n, v) => n + v.byteLength, 0);
  return {
    name: 'reference',
    description: 'plain loops in double precision',
    compile,
    read: async (v) => {
      checkOpen();
      owner.check('read', [v]);
      await storage(v);
      return fromValues(v, stored.get(v.node)!);
    },
    write: async (v, data) => {
      checkOpen();
      checkWrite(v, data);
      stored.set(v.node, toValues(v, data));
      owner.changed([v]);
    },
    release: (variables) => {
      const released = [...variables];
      for (const v of released) stored.delete(v.node);
      owner.released(released);
    },
    memory: () => ({
      now: held(),
      peak,
      byKind: { variables: held(), constants: 0, temporaries: 0, parameters: 0, staging: 0 },
    }),
    close: async () => {
      closed = true;
      stored.clear();
    },
  };
};
