import type { AdapterFileConfig, AdapterLayout } from './files.ts';

const libraries: { readonly [L in AdapterLayout]: readonly [id: string, name: string] } = {
  peft: ['peft', 'Hugging Face PEFT'],
  'adapter-hub': ['adapters', 'the adapters library of AdapterHub'],
};

/** How Hugging Face PEFT loads several adapters that act together. No name may be a part of a method's prefix there, as `lora` is of `lora_`. */
const loading = (parts: readonly string[]): string => {
  const [first, ...rest] = parts.map((folder, i) => `f"{folder}/${folder}", "adapter${i + 1}"`);
  const names = parts.map((_, i) => `"adapter${i + 1}"`);
  return [
    'Each folder is an adapter of Hugging Face PEFT; all of them together, in this order, are the model:',
    '',
    '```python',
    'from peft import PeftMixedModel',
    '',
    `model = PeftMixedModel.from_pretrained(base, ${first})  # folder: where this file is`,
    ...rest.map((given) => `model.load_adapter(${given})`),
    `model.set_adapter([${names.join(', ')}], inference_mode=True)`,
    '```',
  ].join('\n');
};

/** Who can read a method's files: those with a type of our own, nobody else. */
const readers = (layout: AdapterLayout, method: string): string =>
  method.startsWith('PEFTJS_')
    ? 'loads with peftjs; no other library has this method'
    : `loads with peftjs and with ${libraries[layout][1]}`;

/**
 * The README.md of an adapter with the front matter by which the Hugging Face hub sorts it. JSON texts are YAML. `parts`: the folders of
 * several adapters that act together.
 */
export const modelCard = (
  layout: AdapterLayout,
  { method, taskType, baseModel }: AdapterFileConfig,
  parts: readonly string[] = [],
): string => {
  const [id] = libraries[layout];
  const front = ['---'];
  if (baseModel) front.push(`base_model: ${JSON.stringify(baseModel)}`);
  front.push(`library_name: ${id}`);
  if (taskType === 'CAUSAL_LM') front.push('pipeline_tag: text-generation');
  front.push('tags:', `- ${JSON.stringify(method.toLowerCase())}`, '- peftjs', '---');
  const owner = baseModel ? ` for ${baseModel}` : '';
  const how = parts.length > 0 ? `\n${loading(parts)}\n` : '';
  return `${front.join('\n')}\n\n# ${method} adapter${owner}\n\nTrained with peftjs; ${readers(layout, method)}.\n${how}`;
};
