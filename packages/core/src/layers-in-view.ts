import type { JsonValue } from '@peftjs/io';
import type { Model, Path } from '@peftjs/transformer';

/** The layers that a method with its options changes in a model: what options are resolved against, read once asked for. */
export interface LayersInView {
  readonly model: Model;
  readonly method: string;
  /** Whether names and patterns must each name a layer: those of code; those of files need not. */
  readonly strict: boolean;
  /** Full paths, in the model's order; none where the method's options name no layers. Throws `no-match`. */
  paths(): readonly Path[];
  /** Whether other options than the target itself (numbers of layers, exclusions) choose among the layers that it names. */
  readonly narrowed: boolean;
  /** The target as the file holds it. */
  savedTarget(): JsonValue;
}
