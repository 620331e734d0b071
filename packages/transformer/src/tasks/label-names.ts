import { PeftError } from '@peftjs/tensor';

/** Names of classes: `LABEL_0`, … as transformers gives them, where only their number is known. Throws `bad-option`. */
export const labelNames = (task: string, labels: number | readonly string[]): readonly string[] => {
  const names =
    typeof labels === 'number' && Number.isSafeInteger(labels)
      ? Array.from({ length: Math.min(labels, 2 ** 20) }, (_, i) => `LABEL_${i}`)
      : labels;
  const isSound = Array.isArray(names) && names.length > 0 && names.every((name) => typeof name === 'string');
  if (isSound && new Set(names).size === names.length) return names;
  throw new PeftError(
    'bad-option',
    `${task}: labels must be how many outputs there are, at least 1, or their names, all different; got ${JSON.stringify(labels)}`,
  );
};
