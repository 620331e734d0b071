export { type GatedOptions, gated } from './gated/gated.ts';
export { type MamOptions, mam, type UnipeltOptions, unipelt } from './recipes.ts';
