import type { PlaceInIds } from '../tokenizer.ts';
import type { Section } from './added-tokens.ts';

/** How many tokens of those that a shorter text shares one may lie before the place in question. */
const reach = 16;

/**
 * Where a place within a section lies among its ids: behind those that its beginning alone has too, and those whose text is still a part of
 * that beginning.
 */
export const placeIn = (
  section: Section,
  ids: readonly number[],
  place: number,
  encode: (section: Section) => readonly number[],
  decode: (ids: readonly number[]) => string,
): PlaceInIds => {
  if (section.token) return { before: 0, reached: 1 };
  const text = section.text.slice(0, place);
  const alone = encode({ ...section, text, end: section.start + place });
  let shared = 0;
  while (shared < alone.length && alone[shared] === ids[shared]) shared++;
  if (shared === alone.length) return { before: shared, reached: shared };
  let [before, ends] = [shared, false];
  for (let count = shared + 1; count <= Math.min(ids.length, shared + reach); count++) {
    const own = decode(ids.slice(0, count));
    if (own.length > text.length) break;
    if (text.startsWith(own)) [before, ends] = [count, own.length === text.length];
  }
  return { before, reached: ends ? before : before + 1 };
};
