import type { Scope } from '@peftjs/core';
import type { Model } from '@peftjs/transformer';

/** The scope of what layers share, in the module that the adapters library keeps it in: `transformer`, where a layer is `transformer.h.0`, or that of its table. */
export const homeOf = (model: Model, scope: Scope): Scope => {
  const [home] = model.layout.defaultTarget('adapterHubPrefix') ?? [
    model.paths('block')[0]!.split('.').slice(0, -2).join('.'),
  ];
  return home === '' ? scope : scope.at(home!);
};
