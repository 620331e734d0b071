/** A text that is trained on or held out as a whole: a speech, a chapter, a story. */
export interface Document {
  /** Which work it belongs to, for example `Emma`. */
  readonly source: string;
  /** Its name within the work, for example `CHAPTER I`. */
  readonly title: string;
  /** Normalised text, one paragraph per line (see {@link normalizeText}). */
  readonly text: string;
}

/** Documents to train on, and documents kept apart to measure the loss on. No document is in both. */
export interface DocumentSplit {
  readonly train: readonly Document[];
  readonly heldOut: readonly Document[];
}
