import {
  buildProgram,
  checkOptions,
  mustBe,
  type OnExecutor,
  onExecutor,
  PeftError,
  type Program,
  type ProgramSpec,
  type Rules,
} from '@peftjs/tensor';
import type { InputNode } from '@peftjs/tensor/executor';
import { type Emitter, elementType, type Value } from '../lower/emitter.ts';
import { type GraphInputs, lower } from '../lower/lower.ts';
import { encodeModel } from '../proto/model.ts';
import { generalize, type SizeName } from './generalize.ts';
import { checkOutputs, namesOf } from './names.ts';
import { traceSizes } from './trace-sizes.ts';
import { weightsOf } from './weights.ts';

/** The input of a file that an input of the program is made of. */
export interface OnnxInput {
  /** Its name in the file; several inputs of the program may be made of one. */
  readonly name: string;
  /** Its type in the file. Default: that of the program. Integers of the program that come so are refused where a table has no such row. */
  readonly type?: 'int64';
  /**
   * How it is read. `values` (default): converted. Of a mask [batch, tokens], `places`: the number of tokens kept before each one, 0 for those in front of
   * the first; `order`: the number of all before each one.
   */
  readonly as?: 'values' | 'places' | 'order';
}

/** How a program of several sizes becomes a file. */
export interface OnnxFilesOptions<S extends string = string> extends OnExecutor {
  /** The sizes that differ from run to run, and the smallest that each can be: `{ batch_size: 1, past_sequence_length: 0 }`. At most 4. */
  readonly sizes: Readonly<Record<S, number>>;
  /** The file's inputs by those of the program. Default: the same name and type. */
  readonly inputs?: Readonly<Record<string, OnnxInput>>;
  /** Name of the model file. */
  readonly name: string;
  /** Weights into `<name>_data` beside the model. Default: only when they exceed 1 GiB, as a model file must stay below 2 GiB. */
  readonly externalData?: boolean;
}

const isSizes = (v: unknown): boolean => {
  const least = Object.values(Object(v)) as unknown[];
  return least.length >= 1 && least.length <= 4 && least.every((n) => Number.isSafeInteger(n) && (n as number) >= 0);
};

const rules: Rules<OnnxFilesOptions> = {
  ...onExecutor,
  sizes: mustBe.given(mustBe.such('1 to 4 names of sizes, each with the least that it can be', isSizes)),
  inputs: mustBe.object,
  name: mustBe.given(mustBe.text),
  externalData: mustBe.flag,
};

/** max(0, Σ of an int64 mask up to a token − 1). */
const places = (g: Emitter, mask: Value): Value => {
  const one = g.scalar(1, 'int64');
  const before = g.node('Sub', [g.node('CumSum', [mask, one], mask.shape), one], mask.shape);
  return g.node('Max', [before, g.scalar(0, 'int64')], mask.shape);
};

const readings: Readonly<Record<NonNullable<OnnxInput['as']>, (g: Emitter, x: Value) => Value>> = {
  values: (_, x) => x,
  places,
  order: (g, mask) => places(g, g.node('Expand', [g.scalar(1, 'int64'), g.ints(mask.shape)], mask.shape)),
};

/** The file's inputs, in the order of the table, and the program's inputs made of them. */
const graphInputs =
  (inputs: readonly InputNode[], table: Readonly<Record<string, OnnxInput>>) =>
  (g: Emitter): GraphInputs => {
    const declared = new Map<string, Value>();
    const values = new Map<string, Value>();
    for (const [name, { name: outer, type, as = 'values' }] of Object.entries(table)) {
      const node = inputs.find((n) => n.name === name);
      if (!node)
        throw new PeftError(
          'bad-option',
          `onnxFiles: the program has no input ${name}; it has ${inputs.map((n) => n.name).join(', ') || 'none'}`,
        );
      const { shape, dtype } = node.outs[0]!;
      const own = { shape, type: type ?? elementType(dtype) };
      const known = declared.get(outer) ?? { ...own, name: g.named(outer, own) };
      if (known.shape.join() !== shape.join() || known.type !== own.type)
        throw new PeftError('bad-option', `onnxFiles: inputs of different shapes or types are made of ${outer}`);
      declared.set(outer, known);
      const value = g.cast(readings[as](g, known), elementType(dtype));
      if (type) g.strict.add(value.name);
      values.set(name, value);
    }
    return { declared: [...declared.values()].map((v) => ({ ...v, dims: v.shape })), values };
  };

/** All sizes that a program has anywhere, and the last and next places of axes of them. */
const sizesIn = ({ nodes, variables, constants, inputs }: Program): ReadonlySet<number> =>
  new Set(
    [...nodes, ...variables.map((v) => v.node), ...constants, ...inputs]
      .flatMap((n) => n.outs.flatMap((out) => out.shape))
      .flatMap((size) => [size - 1, size, size + 1]),
  );

const checkVariables = (program: Program, probe: Program): void => {
  const known = new Set(probe.variables.map((v) => v.node));
  const made = program.variables.filter((v) => !known.has(v.node)).map((v) => v.node.name);
  if (made.length > 0)
    throw new PeftError(
      'bad-program',
      `onnxFiles: ${made.slice(0, 3).join(', ')} are made anew for each size; make variables once, outside of build`,
    );
};

/** Sizes to begin with: no others are known yet. */
const guesses = [3, 5, 7, 11];

/**
 * An ONNX model whose sizes are known only when it runs, with its weights: files by name, the model last. `build` makes the program for given
 * sizes and is called for several; the graph that they have in common is written, where each number that differs is computed from the shapes of
 * the inputs. So the program must be the same but for its shapes, and its constants must not depend on them. f16 weights stay
 * f16 in the file. Operators are those of ai.onnx 23 and ONNX Runtime's com.microsoft. Throws `bad-option`; `bad-program` naming what differs
 * in other ways.
 */
export const onnxFiles = async <S extends string>(
  build: (sizes: Readonly<Record<S, number>>) => Pick<ProgramSpec, 'outputs'>,
  options: OnnxFilesOptions<S>,
): Promise<ReadonlyMap<string, Uint8Array | AsyncIterable<Uint8Array>>> => {
  checkOptions('onnxFiles', rules, options as OnnxFilesOptions);
  const { executor, inputs: table = {}, name, externalData } = options;
  const names = Object.entries<number>(options.sizes).map(([of, least]): SizeName => ({ name: of, least }));
  const programFor = (sizes: readonly number[]): Program => {
    const byName = Object.fromEntries(names.map((s, i) => [s.name, sizes[i]!])) as Readonly<Record<S, number>>;
    return buildProgram({ outputs: build(byName).outputs ?? {} });
  };
  const probe = programFor(guesses.slice(0, names.length));
  checkOutputs(
    'onnxFiles',
    probe,
    probe.inputs.map((n) => table[n.name]?.name ?? n.name),
  );
  const { embed, data } = await weightsOf(probe.variables, { executor, externalData, location: `${name}_data` });
  const traces = traceSizes(names.length, sizesIn(probe)).map((sizes) => {
    const program = programFor(sizes);
    checkVariables(program, probe);
    const inputs = graphInputs(program.inputs, table);
    return { sizes, model: lower(program, { nameOf: namesOf(program), embed, inputs, sizesAreFree: true }).model };
  });
  const model = encodeModel(generalize(traces, names));
  return new Map<string, Uint8Array | AsyncIterable<Uint8Array>>([
    ...(data ? [[`${name}_data`, data] as const] : []),
    [name, model],
  ]);
};
