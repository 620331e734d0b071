import { PeftError, type Program } from '@peftjs/tensor';
import type { LowerOptions } from '../lower/lower.ts';

/** Names in the file: those of inputs, outputs and variables. */
export const namesOf = ({ outputs }: Program): NonNullable<LowerOptions['nameOf']> => {
  const names = [...outputs.keys()];
  return (what) => {
    if (typeof what === 'number') return names[what]!;
    return what.kind === 'input' || what.kind === 'variable' ? what.name : `constant${what.id}`;
  };
};

/** Throws `bad-program` where there is no output, or one has the name of an input. */
export const checkOutputs = (who: string, { outputs }: Program, inputs: readonly string[]): void => {
  if (outputs.size === 0)
    throw new PeftError('bad-program', `${who}: there are no outputs; give { outputs: { name: tensor } }`);
  const twice = inputs.filter((name) => outputs.has(name));
  if (twice.length > 0)
    throw new PeftError(
      'bad-program',
      `${who}: ${twice.join(', ')} name both an input and an output; ONNX needs different names`,
    );
};
