import { input, PeftError, type ProgramSpec, type Tensor } from '@peftjs/tensor';
import type { TaskModel } from '@peftjs/transformer';

/** The sizes of a pass over whole texts. */
export interface TextSizes {
  readonly batch_size: number;
  readonly sequence_length: number;
}

/** The names of further inputs of towers, as transformers has them. */
const kindNames: Readonly<Record<string, string>> = { tokenTypes: 'token_type_ids' };

/** The further inputs of a model, by the names that transformers gives them. Throws `bad-option` for one that it has no name for. */
export const kindsOf = ({ main }: TaskModel): ReadonlyMap<string, string> =>
  new Map(
    Object.keys(main.reads.kinds ?? {}).map((kind) => {
      const name = kindNames[kind];
      if (name) return [kind, name];
      throw new PeftError('bad-option', `exportModel: no name is known for the input ${kind} in an ONNX file`);
    }),
  );

/**
 * Makes the pass of a model over whole texts. Inputs: ids, `positions`, further kinds i32 and mask f32, all [batch, tokens]. Output:
 * the task's logits.
 */
export const wholePass =
  (model: TaskModel, positionLimit: number | undefined) =>
  ({ batch_size: batch, sequence_length: tokens }: TextSizes): Pick<ProgramSpec, 'outputs'> => {
    const { ids, mask } = model.main.reads;
    const whole = (name: string): Tensor => input(name, [batch, tokens], 'i32');
    const inputs = { [ids]: whole(ids), [mask]: input(mask, [batch, tokens]) };
    for (const kind of kindsOf(model).keys()) inputs[kind] = whole(kind);
    const logits = model.outputs(inputs, {
      positions: whole('positions'),
      ...(positionLimit !== undefined && { positionLimit }),
    });
    return { outputs: { logits } };
  };
