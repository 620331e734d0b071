import type { AdapterConfig, AdapterLayout } from './files.ts';

const libraries: { readonly [L in AdapterLayout]: readonly [id: string, name: string] } = {
  peft: ['peft', 'Hugging Face PEFT'],
  'adapter-hub': ['adapters', 'the adapters library of AdapterHub'],
};

/** The README.md of an adapter with the front matter by which the Hugging Face hub sorts it. JSON texts are YAML. */
export const modelCard = (layout: AdapterLayout, { method, taskType, baseModel }: AdapterConfig): string => {
  const [id, name] = libraries[layout];
  const front = ['---'];
  if (baseModel) front.push(`base_model: ${JSON.stringify(baseModel)}`);
  front.push(`library_name: ${id}`);
  if (taskType === 'CAUSAL_LM') front.push('pipeline_tag: text-generation');
  front.push('tags:', `- ${JSON.stringify(method.toLowerCase())}`, '- peftjs', '---');
  const owner = baseModel ? ` for ${baseModel}` : '';
  return `${front.join('\n')}\n\n# ${method} adapter${owner}\n\nTrained with peftjs; loads with peftjs and with ${name}.\n`;
};
