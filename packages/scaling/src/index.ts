export { type Ia3Options, ia3 } from './ia3.ts';
export { type SsfOptions, ssf } from './ssf.ts';
