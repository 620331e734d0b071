import { basename } from 'node:path';
import {
  buildProgram,
  byteSize,
  checkOptions,
  type Executor,
  mustBe,
  type OnExecutor,
  onExecutor,
  PeftError,
  type Program,
  type ProgramSpec,
  type Rules,
  type TypedArray,
  type Variable,
} from '@peftjs/tensor';
import type { Node } from '@peftjs/tensor/executor';
import { bytesOf, elementType } from '../lower/emitter.ts';
import { embedConstant, lower } from '../lower/lower.ts';
import { type ExternalData, encodeModel } from '../proto/model.ts';
import { writeWhole } from './write-whole.ts';

/** The executor that has the values of the variables, and where the model goes. */
export interface ExportOptions extends OnExecutor {
  /** The file to write: `model.onnx`. */
  readonly path: string;
  /** Put the weights into `<path>.data` beside the model. Default: only when they exceed 1 GiB, as a model file must stay below 2 GiB. */
  readonly externalData?: boolean;
}

const rules: Rules<ExportOptions> = { ...onExecutor, path: mustBe.given(mustBe.text), externalData: mustBe.flag };

const largestModel = 2 ** 30;

/** Where external tensors begin: memory-mapping readers want whole pages. */
const page = 4096;

const align = (offset: number): number => Math.ceil(offset / page) * page;

/** Places of the variables in the data file. */
const layOut = (variables: readonly Variable[], location: string): ReadonlyMap<Node, ExternalData> => {
  let end = 0;
  return new Map(
    variables.map((v) => {
      const offset = align(end);
      end = offset + byteSize(v);
      return [v.node, { location, offset, length: byteSize(v) }];
    }),
  );
};

/** The data file's bytes, one variable in memory at a time. */
async function* dataPieces(variables: readonly Variable[], executor: Executor): AsyncGenerator<Uint8Array> {
  let end = 0;
  for (const v of variables) {
    yield new Uint8Array(align(end) - end);
    yield bytesOf(await executor.read(v));
    end = align(end) + byteSize(v);
  }
}

const checkNames = (program: Program): void => {
  if (program.outputs.size === 0)
    throw new PeftError('bad-program', 'exportOnnx: there are no outputs; give { outputs: { name: tensor } }');
  const twice = program.inputs.map((n) => n.name).filter((name) => program.outputs.has(name));
  if (twice.length > 0)
    throw new PeftError(
      'bad-program',
      `exportOnnx: ${twice.join(', ')} name both an input and an output; ONNX needs different names`,
    );
};

/**
 * Writes what a program computes as a standalone ONNX model with its weights. Inputs and outputs keep their names and shapes; f16 ones are
 * float (ONNX computes in f32 here), f16 weights stay f16 in the file. Operators are those of ai.onnx 23 and ONNX Runtime's com.microsoft.
 * Updates are not part of a model. Throws `bad-option`, `bad-program`, `write-failed`.
 */
export const exportOnnx = async (spec: Pick<ProgramSpec, 'outputs'>, options: ExportOptions): Promise<void> => {
  checkOptions('exportOnnx', rules, options);
  const { executor, path, externalData } = options;
  const program = buildProgram({ outputs: spec.outputs ?? {} });
  checkNames(program);
  const { variables } = program;
  const location = `${basename(path)}.data`;
  const external = externalData ?? variables.reduce((n, v) => n + byteSize(v), 0) > largestModel;
  const places = external ? layOut(variables, location) : new Map<Node, ExternalData>();
  const values = new Map<Node, TypedArray>();
  if (!external) for (const v of variables) values.set(v.node, await executor.read(v));

  const outputNames = [...program.outputs.keys()];
  const { model } = lower(program, {
    nameOf: (what) =>
      typeof what === 'number'
        ? outputNames[what]!
        : what.kind === 'input' || what.kind === 'variable'
          ? what.name
          : `constant${what.id}`,
    embed: (node) => {
      if (node.kind === 'constant') return embedConstant(node);
      if (node.kind !== 'variable') return null;
      const { dtype } = node.outs[0]!;
      return {
        data: places.get(node) ?? bytesOf(values.get(node)!),
        type: dtype === 'f16' ? 'float16' : elementType(dtype),
      };
    },
  });
  const modelFile = { path, pieces: [encodeModel(model)] };
  await writeWhole(
    external ? [{ path: `${path}.data`, pieces: dataPieces(variables, executor) }, modelFile] : [modelFile],
  );
};
