import { type Init, kaimingUniform, normal, type Option, oneOf, truncatedNormal, zeros } from '@peftjs/core';

/** How an adapter's matrices begin. */
export type InitName = 'normal' | 'mam' | 'houlsby';

/** First values of both matrices: as BERT's, nearly the identity; exactly the identity, He et al., 2021; Houlsby et al., 2019. */
export const inits: { readonly [N in InitName]: { readonly down: Init; readonly up: Init } } = {
  normal: { down: normal(0.02), up: normal(0.02) },
  mam: { down: kaimingUniform, up: zeros },
  houlsby: { down: truncatedNormal(0.01), up: truncatedNormal(0.01) },
};

const namesThere: Readonly<Record<InitName, string>> = { normal: 'bert', mam: 'mam_adapter', houlsby: 'houlsby' };

/** The option of them, `init_weights` in files of adapter-hub/adapters. */
export const initOption = (fallback: InitName): Option<InitName> => ({
  ...oneOf<InitName>('init_weights', ['normal', 'mam', 'houlsby'], fallback),
  toJson: (name) => namesThere[name],
  fromJson: (name) => (Object.keys(namesThere) as InitName[]).find((ours) => namesThere[ours] === name) ?? name,
});
