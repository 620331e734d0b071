export { type GatedOptions, gated } from './gated.ts';
export { type MamOptions, mam } from './mam.ts';
export { type UnipeltOptions, unipelt } from './unipelt.ts';
