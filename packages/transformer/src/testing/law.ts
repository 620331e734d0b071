/** Something that must hold: `check` throws what does not. */
export interface Law {
  readonly name: string;
  check(): Promise<void>;
}
