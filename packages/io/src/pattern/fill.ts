import { alt, cat, empty, mayBeEmpty, type Node, nothing } from './node.ts';

/**
 * The body of an endless loop, so written that no turn is empty: the loop fits the same texts and always ends. An empty turn
 * would lead back to where it began. Source: Brüggemann-Klein, 1993, "Regular expressions into finite automata" (star normal
 * form), https://doi.org/10.1016/0304-3975(93)90287-4.
 */
export const loopBody = (node: Node): Node => {
  if (!mayBeEmpty(node)) return node;
  if (node.kind === 'alt') return alt(...node.items.map(loopBody));
  if (node.kind === 'group') return { ...node, item: loopBody(node.item) };
  if (node.kind === 'cat' && node.items.every(isFree)) return alt(...node.items.map(loopBody));
  if (node.kind === 'repeat' && (node.min === 0 || isFree(node.item))) return loopBody(node.item);
  return filled(node);
};

/** Whether an expression fits anywhere without taking a character, whatever stands around it. */
const isFree = (node: Node): boolean => {
  if (node.kind === 'cat') return node.items.every(isFree);
  if (node.kind === 'alt') return node.items.some(isFree);
  if (node.kind === 'repeat') return node.min === 0 || isFree(node.item);
  return node.kind === 'group' && isFree(node.item);
};

/** The part of an expression that takes at least one character. */
const filled = (node: Node): Node => {
  if (!mayBeEmpty(node)) return node;
  switch (node.kind) {
    case 'set':
      return node;
    case 'edge':
    case 'look':
      return nothing;
    case 'alt':
      return alt(...node.items.map(filled));
    case 'cat': {
      const [first, ...rest] = node.items;
      if (!first) return nothing;
      return alt(cat(filled(first), ...rest), cat(emptied(first), filled(cat(...rest))));
    }
    case 'repeat': {
      const { item, min, max } = node;
      if (max === 0) return nothing;
      const rest: Node = { ...node, min: Math.max(0, min - 1), max: max - 1 };
      const first = cat(filled(item), rest);
      return min === 0 ? first : alt(first, cat(emptied(item), filled(rest)));
    }
    case 'group':
      return { ...node, item: filled(node.item) };
    case 'atomic':
      return node.takes === 'none' ? nothing : { ...node, takes: 'some' };
  }
};

/** The part of an expression that takes no character. */
const emptied = (node: Node): Node => {
  switch (node.kind) {
    case 'set':
      return nothing;
    case 'edge':
    case 'look':
      return node;
    case 'cat':
      return cat(...node.items.map(emptied));
    case 'alt':
      return alt(...node.items.map(emptied));
    case 'repeat':
      return node.min === 0 ? empty : emptied(node.item);
    case 'group':
      return { ...node, item: emptied(node.item) };
    case 'atomic':
      return node.takes === 'some' ? nothing : { ...node, takes: 'none' };
  }
};
