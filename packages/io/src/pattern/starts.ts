import { charSet } from './char-set.ts';
import { type CharTest, mayBeEmpty, type Node } from './node.ts';

/** A test that the first character of every match passes; undefined where a match may be empty. */
export const startOf = (node: Node): CharTest | undefined => {
  if (mayBeEmpty(node)) return undefined;
  const tests = startsOf(node);
  return tests.length === 1 ? tests[0]! : charSet([], tests);
};

/** The sets among which the first character is, of matches that have one. */
const startsOf = (node: Node): readonly CharTest[] => {
  switch (node.kind) {
    case 'set':
      return [node.has];
    case 'edge':
    case 'look':
      return [];
    case 'cat': {
      const solid = node.items.findIndex((item) => !mayBeEmpty(item));
      return node.items.slice(0, solid < 0 ? undefined : solid + 1).flatMap(startsOf);
    }
    case 'alt':
      return node.items.flatMap(startsOf);
    case 'repeat':
    case 'group':
    case 'atomic':
      return startsOf(node.item);
  }
};
