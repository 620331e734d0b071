/** Label of a position that does not count. */
export const ignored = -100;
