import type { Model, Path } from '@peftjs/transformer';

/** The module that the adapters library keeps what layers share in: `transformer`, where a layer is `transformer.h.0`. */
export const homeOf = (model: Model): Path => model.paths('block')[0]!.split('.').slice(0, -2).join('.');
