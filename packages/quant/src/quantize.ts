import { checkOptions, evaluate, type OnExecutor, onExecutor, PeftError, type Rules } from '@peftjs/tensor';
import {
  type Linear,
  type Model,
  type Path,
  requireModel,
  storedValues,
  type Target,
  targeted,
  targetRule,
} from '@peftjs/transformer';
import type { QuantFormat } from './format.ts';
import { encodeLinear, packedLinear } from './packed-linear.ts';

/**
 * A view of a model whose targeted layers (default: all but the output head) are stored in a format; embeddings, norms and biases stay as
 * they are. Weights are read, packed and dropped one tensor at a time, when an executor first needs them, so the dense model is never in
 * memory. QLoRA is `attach(quantize(model, nf4()), [lora()])`. Throws `no-match`; `bad-option`, by name, where a weight is not that of a
 * file or an array any more (trained, adapted, quantised already).
 */
export const quantize = <M extends Model>(model: M, format: QuantFormat, target: Target = 'all-linear'): M => {
  requireModel('quantize', model);
  const paths = targeted(model.linears.keys(), target, 'quantize');
  const made = paths.filter((path) => !storedValues(model.linears.get(path)!));
  if (made.length > 0)
    throw new PeftError(
      'bad-option',
      `quantize: ${made.join(', ')} are adapted or quantised already; quantise the base model, then attach, or use quantizeOn`,
    );
  return model.with({
    linears: new Map(
      paths.map((path): [Path, Linear] => [
        path,
        encodeLinear(format, `${path}.weight`, storedValues(model.linears.get(path)!)!),
      ]),
    ),
  });
};

/** The executor that has the values, and the layers that are stored. */
export interface QuantizeOnOptions extends OnExecutor {
  /** Default: all but the output head. */
  readonly target?: Target;
}

const rules: Rules<QuantizeOnOptions> = {
  ...onExecutor,
  target: targetRule,
};

/**
 * The same of values as they are on an executor: of a model that was trained or merged there, or of an adapted view, whose effective weights
 * are computed. They are read and packed now, one tensor at a time; the executor keeps its own until they are released. Throws `no-match`,
 * `bad-data`.
 */
export const quantizeOn = async <M extends Model>(
  model: M,
  format: QuantFormat,
  options: QuantizeOnOptions,
): Promise<M> => {
  requireModel('quantizeOn', model);
  checkOptions('quantizeOn', rules, options);
  const { executor, target = 'all-linear' } = options;
  const linears = new Map<Path, Linear>();
  for (const path of targeted(model.linears.keys(), target, 'quantizeOn')) {
    const { weight, bias } = model.linears.get(path)!.dense();
    const sizes = weight.shape as readonly [number, number];
    const { values } = (await evaluate({ values: weight }, { executor })) as { readonly values: Float32Array };
    const data = format.pack(`${path}.weight`, values, ...sizes);
    linears.set(path, packedLinear(format, `${path}.weight`, sizes, bias, data));
  }
  return model.with({ linears });
};
