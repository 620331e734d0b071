/** The line of a child's last words that says most. */
export const headline = (words: string): string => {
  const lines = words.split('\n').map((text) => text.trim());
  return lines.find((text) => /\w*Error\b.*:/.test(text)) ?? lines.at(-1)!;
};
