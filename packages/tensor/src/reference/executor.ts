import { byName, type Values } from '../define-op.ts';
import { hostArray, type TypedArray } from '../dtype.ts';
import type { Executable, Executor } from '../executor.ts';
import { checkFeeds, checkWrite } from '../feeds.ts';
import { halfToNumber, numberToHalf } from '../half.ts';
import { initialData, type Node, type OpNode, type Tensor, type Variable } from '../graph.ts';
import { flopsOf } from '../flops.ts';
import { buildProgram, type Program } from '../program.ts';
import { sizeOf, type Spec } from '../shape.ts';

const toValues = ({ dtype }: Spec, data: TypedArray): Values => (dtype === 'f16' ? Float64Array.from(data, halfToNumber) : Float64Array.from(data));

const fromValues = ({ dtype, shape }: Spec, values: Values): TypedArray => {
  const data = hostArray(dtype, sizeOf(shape));
  if (dtype === 'f16') values.forEach((v, i) => (data[i] = numberToHalf(v)));
  else data.set(values);
  return data;
};

const runNode = (node: OpNode, valueOf: (t: Tensor) => Values): readonly Values[] => {
  const named = byName(node.op, node.inputs);
  const values = Object.fromEntries(Object.entries(named).map(([name, t]) => [name, valueOf(t)]));
  const reference = node.op.reference as (values: unknown, specs: unknown, attrs: unknown) => Values | readonly Values[];
  const result = reference(values, { ...named, out: node.outs[0], outs: node.outs }, node.attrs);
  return result instanceof Float64Array ? [result] : result;
};

/** The executor that interprets programs with each op's plain loops, in double precision: the definition, for tests. */
export const reference = (): Executor => {
  const stored = new Map<Node, Values>();
  const storage = async (v: Variable): Promise<Values> => {
    const known = stored.get(v.node);
    if (known) return known;
    const data = await initialData(v);
    const values = data ? toValues(v, data) : await evaluateInit(v);
    stored.set(v.node, values);
    return values;
  };
  const evaluateInit = async (v: Variable): Promise<Values> =>
    (await interpret(buildProgram({ outputs: { value: v.node.init as Tensor } }), {})).get('value')!;

  const interpret = async (program: Program, feeds: Readonly<Record<string, TypedArray>>): Promise<Map<string, Values>> => {
    const values = new Map<Node, readonly Values[]>();
    for (const node of program.inputs) values.set(node, [toValues(node.outs[0]!, feeds[node.name]!)]);
    for (const node of program.constants) values.set(node, [toValues(node.outs[0]!, node.data)]);
    for (const v of program.variables) values.set(v.node, [await storage(v)]);
    const valueOf = (t: Tensor): Values => values.get(t.node)![t.index]!;
    for (const node of program.nodes) values.set(node, runNode(node, valueOf));
    for (const [v, t] of program.updates) stored.set(v.node, valueOf(t).slice());
    return new Map([...program.outputs].map(([name, t]) => [name, valueOf(t).slice()]));
  };

  const compile = async (program: Program): Promise<Executable> => ({
    plan: { peakBytes: 0, dispatches: program.nodes.length, flops: flopsOf(program) },
    run: async (feeds = {}, { read } = {}) => {
      checkFeeds(program, feeds);
      const results = await interpret(program, feeds);
      const names = read ?? [...program.outputs.keys()];
      return Object.fromEntries(names.map((name) => [name, fromValues(program.outputs.get(name)!, results.get(name)!)]));
    },
    close: () => {},
  });

  const held = (): number => [...stored.values()].reduce((n, v) => n + v.byteLength, 0);
  return {
    name: 'reference',
    description: 'plain loops in double precision',
    compile,
    read: async (v) => fromValues(v, await storage(v)),
    write: async (v, data) => {
      checkWrite(v, data);
      stored.set(v.node, toValues(v, data));
    },
    release: (variables) => {
      for (const v of variables) stored.delete(v.node);
    },
    memory: () => ({ now: held(), peak: held() }),
    close: async () => stored.clear(),
  };
};
