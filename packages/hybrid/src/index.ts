export { type MamOptions, mam } from './mam.ts';
export { type UnipeltOptions, unipelt } from './unipelt.ts';
