import { basename } from 'node:path';
import {
  buildProgram,
  checkOptions,
  mustBe,
  type OnExecutor,
  onExecutor,
  type ProgramSpec,
  type Rules,
} from '@peftjs/tensor';
import { lower } from '../lower/lower.ts';
import { encodeModel } from '../proto/model.ts';
import { checkOutputs, namesOf } from './names.ts';
import { weightsOf } from './weights.ts';
import { writeWhole } from './write-whole.ts';

/** The executor that has the values of the variables, and where the model goes. */
export interface ExportOptions extends OnExecutor {
  /** The file to write: `model.onnx`. */
  readonly path: string;
  /** Put the weights into `<path>.data` beside the model. Default: only when they exceed 1 GiB, as a model file must stay below 2 GiB. */
  readonly externalData?: boolean;
}

const rules: Rules<ExportOptions> = { ...onExecutor, path: mustBe.given(mustBe.text), externalData: mustBe.flag };

/**
 * Writes what a program computes as a standalone ONNX model with its weights. Inputs and outputs keep their names and shapes; f16 ones are
 * float (ONNX computes in f32 here), f16 weights stay f16 in the file. Operators are those of ai.onnx 23 and ONNX Runtime's com.microsoft.
 * Updates are not part of a model. For a model whose sizes differ from run to run see `onnxFiles`. Throws `bad-option`, `bad-program`,
 * `write-failed`.
 */
export const exportOnnx = async (spec: Pick<ProgramSpec, 'outputs'>, options: ExportOptions): Promise<void> => {
  checkOptions('exportOnnx', rules, options);
  const { executor, path, externalData } = options;
  const program = buildProgram({ outputs: spec.outputs ?? {} });
  checkOutputs(
    'exportOnnx',
    program,
    program.inputs.map((n) => n.name),
  );
  const location = `${basename(path)}.data`;
  const { embed, data } = await weightsOf(program.variables, { executor, externalData, location });
  const { model } = lower(program, { nameOf: namesOf(program), embed });
  const modelFile = { path, pieces: [encodeModel(model)] };
  await writeWhole(data ? [{ path: `${path}.data`, pieces: data }, modelFile] : [modelFile]);
};
