import { isVariable, PeftError, type Tensor, type Variable } from '@peftjs/tensor';
import { halfBehind } from './half.ts';
import type { Model } from './model.ts';

/** A model's weights by Hugging Face tensor name, a tied head's weight left out; layers that are not stored plainly give their effective values. */
export const weightTensors = (model: Model): Map<string, Tensor> => {
  const tensors = new Map<string, Tensor>();
  const put = (path: string, { weight, bias }: { readonly weight: Tensor; readonly bias: Tensor | null }): void => {
    tensors.set(`${path}.weight`, weight);
    if (bias) tensors.set(`${path}.bias`, bias);
  };
  for (const [path, { weight }] of model.embeddings) put(path, { weight, bias: null });
  const tables = new Set([...tensors.values()].map((t) => t.node));
  for (const [path, layer] of model.linears) {
    const values = layer.dense();
    if (!tables.has(values.weight.node)) put(path, values);
    else if (values.bias) tensors.set(`${path}.bias`, values.bias);
  }
  for (const [path, norm] of model.norms) put(path, norm);
  for (const [path, experts] of model.experts) {
    tensors.set(path, experts.dense());
    if (experts.bias) tensors.set(`${path}_bias`, experts.bias);
  }
  return tensors;
};

/** A few of many names. */
const listed = (names: readonly string[]): string =>
  names.length > 3 ? `${names.slice(0, 3).join(', ')} and ${names.length - 3} more` : names.join(', ');

/**
 * The model's variables by Hugging Face tensor name; tied weights once. For pretraining and full fine-tuning. Throws `bad-option` where
 * a layer's values are not variables of its own (an adapter's view, a quantised layer): ask the base model then; or are kept as f16.
 */
export const parameters = (model: Model): ReadonlyMap<string, Variable> => {
  const tensors = weightTensors(model);
  const halves = [...tensors].filter(([, t]) => halfBehind(t)).map(([name]) => name);
  if (halves.length > 0)
    throw new PeftError(
      'bad-option',
      `parameters: ${listed(halves)} are kept as f16, too coarse for the small steps of training, which would need copies in f32 beside them; load the model with dtype: 'f32' to train its weights, or attach an adapter`,
    );
  const derived = [...tensors].filter(([, t]) => !isVariable(t)).map(([name]) => name);
  if (derived.length > 0)
    throw new PeftError(
      'bad-option',
      `parameters: ${derived.join(', ')} are computed, not stored; pass the base model, without adapters or quantisation`,
    );
  return tensors as Map<string, Variable>;
};
