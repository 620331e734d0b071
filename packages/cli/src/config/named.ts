/** A thing by its name, with its options. */
export interface Named {
  readonly name: string;
  readonly [option: string]: unknown;
}
