/** Whether a character, by its code point, belongs to a set. */
export type CharTest = (codePoint: number) => boolean;

/** A condition on a place in a text, which takes no character: a boundary of words, the end. */
export type Edge = (text: string, at: number) => boolean;

/** A regular expression as a tree. `cat []` is the empty expression, `alt []` fits nothing. */
export type Node =
  | { readonly kind: 'set'; readonly has: CharTest }
  | { readonly kind: 'edge'; readonly holds: Edge }
  | { readonly kind: 'cat' | 'alt'; readonly items: readonly Node[] }
  | { readonly kind: 'repeat'; readonly item: Node; readonly min: number; readonly max: number; readonly lazy: boolean }
  | { readonly kind: 'group'; readonly item: Node; readonly index: number }
  | { readonly kind: 'atomic'; readonly item: Node; readonly takes: 'any' | 'some' | 'none' }
  | { readonly kind: 'look'; readonly item: Node; readonly behind: boolean; readonly negated: boolean };

/** Several expressions one after the other. */
export const cat = (...items: readonly Node[]): Node => (items.length === 1 ? items[0]! : { kind: 'cat', items });

/** One of several expressions, the first that leads to a match. */
export const alt = (...items: readonly Node[]): Node => (items.length === 1 ? items[0]! : { kind: 'alt', items });

/** Fits everywhere and takes nothing. */
export const empty: Node = cat();

/** Fits nowhere. */
export const nothing: Node = alt();

/** Whether an expression may fit without taking a character. */
export const mayBeEmpty = (node: Node): boolean => {
  switch (node.kind) {
    case 'set':
      return false;
    case 'edge':
    case 'look':
      return true;
    case 'cat':
      return node.items.every(mayBeEmpty);
    case 'alt':
      return node.items.some(mayBeEmpty);
    case 'repeat':
      return node.min === 0 || mayBeEmpty(node.item);
    case 'group':
      return mayBeEmpty(node.item);
    case 'atomic':
      return node.takes === 'none' || (node.takes === 'any' && mayBeEmpty(node.item));
  }
};

/** The number of characters that an expression takes; undefined where that is not one number. */
export const widthOf = (node: Node): number | undefined => {
  const sameOf = (widths: readonly (number | undefined)[]): number | undefined =>
    widths.every((width) => width === widths[0]) ? widths[0] : undefined;
  switch (node.kind) {
    case 'set':
      return 1;
    case 'edge':
    case 'look':
      return 0;
    case 'cat':
      return node.items.map(widthOf).reduce((a, b) => (a === undefined || b === undefined ? undefined : a + b), 0);
    case 'alt':
      return sameOf(node.items.map(widthOf));
    case 'repeat': {
      const width = widthOf(node.item);
      return width !== undefined && node.min === node.max ? width * node.min : undefined;
    }
    case 'group':
    case 'atomic':
      return widthOf(node.item);
  }
};
