import { PeftError } from '@peftjs/tensor';
import { Emitter, type Value } from '../lower/emitter.ts';
import type { Attribute, ModelProto, NodeProto, TensorProto } from '../proto/model.ts';
import { fitExpression, inWords, type SizeExpression, valueOf } from './size-expression.ts';

/** A program as it was lowered for certain sizes. */
export interface Trace {
  readonly sizes: readonly number[];
  readonly model: ModelProto;
}

/** A size that a model takes as its inputs have it. */
export interface SizeName {
  readonly name: string;
  /** The smallest that it can be. */
  readonly least: number;
}

const refuse = (what: string): PeftError =>
  new PeftError(
    'bad-program',
    `onnxFiles: ${what}, so one file cannot serve all sizes; make the program without values that the host computes from its sizes, or export it for fixed ones with exportOnnx`,
  );

/** The operation of ours that a node belongs to: `attention_12.Softmax`. */
const opOf = ({ name }: NodeProto): string => name.split('_')[0]!;

const integersOf = ({ data, type }: TensorProto): readonly number[] | null => {
  if (!(data instanceof Uint8Array)) return null;
  const { buffer } = data.slice();
  if (type === 'int64') return Array.from(new BigInt64Array(buffer), Number);
  return type === 'int32' ? Array.from(new Int32Array(buffer)) : null;
};

/** The step of values 0, step, 2·step, … of a vector; null where they are not so, or too few to tell. */
const stepOf = (t: TensorProto): number | null => {
  const values = t.type === 'float' && t.data instanceof Uint8Array ? floatsOf(t.data) : integersOf(t);
  if (t.dims.length !== 1 || !values || values.length < 2) return null;
  const step = values[1]!;
  return step > 0 && values.every((v, i) => v === i * step) ? step : null;
};

const floatsOf = (data: Uint8Array): readonly number[] => Array.from(new Float32Array(data.slice().buffer));

/** Whether all are rows of numbers, as many in each. */
const isTable = (rows: readonly (readonly number[] | null)[]): rows is readonly (readonly number[])[] =>
  rows.every((row) => row !== null && row.length === rows[0]?.length);

const sameData = (a: TensorProto, b: TensorProto): boolean => {
  if (a.data === b.data) return true;
  if (a.data instanceof Uint8Array && b.data instanceof Uint8Array) {
    const isOne = a.data.buffer === b.data.buffer && a.data.byteOffset === b.data.byteOffset;
    return a.data.length === b.data.length && (isOne || Buffer.compare(a.data, b.data) === 0);
  }
  return 'offset' in a.data && 'offset' in b.data && a.data.offset === b.data.offset;
};

/** Checks that traces are the same graph but for numbers. Throws `bad-program` with the operation where they part. */
const checkSame = ([first, ...others]: readonly Trace[]): void => {
  const { model } = first!;
  for (const { model: other } of others) {
    const renamed = new Map<string, string>([['', '']]);
    other.inputs.forEach(({ name }, i) => renamed.set(name, model.inputs[i]?.name ?? ''));
    other.initializers.forEach(({ name }, i) => renamed.set(name, model.initializers[i]?.name ?? ''));
    for (const [i, node] of model.nodes.entries()) {
      const theirs = other.nodes[i];
      const same =
        theirs?.type === node.type &&
        theirs.domain === node.domain &&
        theirs.outputs.length === node.outputs.length &&
        theirs.inputs.map((name) => renamed.get(name)).join('\n') === node.inputs.join('\n') &&
        JSON.stringify(theirs.attributes) === JSON.stringify(node.attributes);
      if (!same) throw refuse(`${opOf(node)} is computed in another way for other sizes`);
      theirs.outputs.forEach((name, j) => renamed.set(name, node.outputs[j]!));
    }
    if (other.nodes.length !== model.nodes.length || other.initializers.length !== model.initializers.length)
      throw refuse('more is computed for some sizes than for others');
  }
};

/** Computes expressions of sizes from the shapes of a graph's inputs; equal ones once. */
const calculator = (
  g: Emitter,
  traces: readonly Trace[],
  names: readonly SizeName[],
): ((e: SizeExpression) => Value) => {
  const { inputs } = traces[0]!.model;
  const sources = names.map(({ name }, size) => {
    for (const [i, input] of inputs.entries()) {
      const axis = input.dims.findIndex((_, a) => traces.every((t) => t.model.inputs[i]!.dims[a] === t.sizes[size]));
      if (axis >= 0) return { input, axis };
    }
    throw refuse(`no input has an axis of the size ${name}`);
  });
  const sizeOf = (i: number): Value => {
    const { input, axis } = sources[i]!;
    const value = { name: input.name, type: input.type, shape: [] };
    return g.node('Shape', [value], [1], { start: axis, end: axis + 1 }, 'int64');
  };
  const times = (a: Value, b: Value): Value => g.node('Mul', [a, b], [1]);
  return ({ factors, coefficients, plus }) => {
    const terms = coefficients.flatMap((c, i) => {
      if (c === 0) return [];
      return [c === 1 ? sizeOf(i) : times(sizeOf(i), g.ints([c]))];
    });
    if (plus !== 0 || terms.length === 0) terms.push(g.ints([plus]));
    const sum = terms.reduce((a, b) => g.node('Add', [a, b], [1]));
    return factors.reduce((product, i) => times(product, sizeOf(i)), sum);
  };
};

/** The words of axes. */
const axesOf = (
  what: string,
  at: (model: ModelProto) => readonly (number | string)[],
  traces: readonly Trace[],
  names: readonly SizeName[],
): (number | string)[] =>
  at(traces[0]!.model).map((_, axis) => {
    const found = fitExpression(
      traces.map((t) => at(t.model)[axis] as number),
      traces.map((t) => t.sizes),
    );
    if (!found) throw refuse(`an axis of ${what} follows no rule that was found`);
    return inWords(
      found,
      names.map(({ name }) => name),
    );
  });

/**
 * One graph for all sizes from graphs of the same program for several. They must be alike but for numbers: shapes, limits, counts. A number that
 * differs is one of `fitExpression`'s, and is computed in the new graph from the shapes of its inputs; so are vectors of 0, step, 2·step, …. Traces are in the order that
 * `traceSizes` gives: some determine the expressions, the others prove them. Throws `bad-program` naming what has no such form.
 */
export const generalize = (traces: readonly Trace[], names: readonly SizeName[]): ModelProto => {
  checkSame(traces);
  const { model } = traces[0]!;
  const g = new Emitter();
  for (const { name } of [...model.inputs, ...model.initializers]) g.unique(name);
  for (const name of model.nodes.flatMap((n) => n.outputs)) g.unique(name);
  g.label = 'sizes';
  const compute = calculator(g, traces, names);
  const sizes = traces.map((t) => t.sizes);
  const least = names.map((n) => n.least);
  const readers = new Map(model.nodes.flatMap((n) => n.inputs.map((name) => [name, n] as const)));

  const replaced = new Map<string, Value>();
  /** Shapes that may have a zero: to Reshape it is one, not "as before". */
  const zeros = new Set<string>();
  const initializers = model.initializers.filter((t, i) => {
    const all = traces.map(({ model: m }) => m.initializers[i]!);
    if (all.every((other) => other.dims.join() === t.dims.join() && sameData(other, t))) return true;
    const numbers: readonly (readonly number[] | null)[] = all.map(integersOf);
    const op = opOf(readers.get(t.name)!);
    const steps = all.map(stepOf);
    if (steps.every((step) => step !== null)) {
      const scalarOf = (values: readonly number[]): Value | null => {
        const found = fitExpression(values, sizes);
        return found && g.node('Squeeze', [compute(found)], []);
      };
      const [limit, delta] = [scalarOf(all.map(({ dims }, k) => dims[0]! * steps[k]!)), scalarOf(steps)];
      if (limit && delta) {
        const zero = g.scalar(0, 'int64');
        replaced.set(t.name, g.cast(g.node('Range', [zero, limit, delta], t.dims), t.type));
        return false;
      }
    }
    if (!isTable(numbers) || t.dims.length > 1)
      throw refuse(`${op} reads a constant of ${t.type} [${t.dims}] that depends on the sizes`);
    const parts = numbers[0]!.map((_, at) => {
      const values = numbers.map((row) => row[at]!);
      const found = fitExpression(values, sizes);
      // The last of as many places as a product of sizes is no such product itself.
      const places = found
        ? null
        : fitExpression(
            values.map((v) => v + 1),
            sizes,
          );
      if (places) return g.node('Sub', [compute(places), g.ints([1])], [1]);
      if (!found) throw refuse(`${op} has a number that follows no rule that was found (${values})`);
      if (valueOf(found, least) === 0) zeros.add(t.name);
      return compute(found);
    });
    const vector = parts.length === 1 ? parts[0]! : g.node('Concat', parts, t.dims, { axis: 0 });
    replaced.set(t.name, g.cast(t.dims.length === 0 ? g.node('Squeeze', [vector], []) : vector, t.type));
    return false;
  });

  const nodes = model.nodes.map((node): NodeProto => {
    const allowZero: Record<string, Attribute> =
      node.type === 'Reshape' && zeros.has(node.inputs[1]!) ? { allowzero: 1 } : {};
    return {
      ...node,
      inputs: node.inputs.map((name) => replaced.get(name)?.name ?? name),
      attributes: { ...node.attributes, ...allowZero },
    };
  });
  const named = (list: 'inputs' | 'outputs'): ModelProto['inputs'] =>
    model[list].map((v, i) => ({ ...v, dims: axesOf(v.name, (m) => m[list][i]!.dims, traces, names) }));
  return {
    nodes: [...g.nodes, ...nodes],
    inputs: named('inputs'),
    outputs: named('outputs'),
    initializers: [...initializers, ...g.initializers],
  };
};
