import type { AdapterConfig } from './files.ts';

/** The README.md of an adapter with the front matter by which the Hugging Face hub sorts it. JSON texts are YAML. */
export const modelCard = ({ peftType, taskType, baseModel }: AdapterConfig): string => {
  const front = ['---'];
  if (baseModel) front.push(`base_model: ${JSON.stringify(baseModel)}`);
  front.push('library_name: peft');
  if (taskType === 'CAUSAL_LM') front.push('pipeline_tag: text-generation');
  front.push('tags:', `- ${JSON.stringify(peftType.toLowerCase())}`, '- peftjs', '---');
  const owner = baseModel ? ` for ${baseModel}` : '';
  return `${front.join('\n')}\n\n# ${peftType} adapter${owner}\n\nTrained with peftjs; loads with peftjs and with Hugging Face PEFT.\n`;
};
