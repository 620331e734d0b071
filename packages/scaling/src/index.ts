export { type Ia3Options, ia3 } from './ia3.ts';
export { type Ia3HubOptions, ia3Hub } from './ia3-hub.ts';
export { type SsfOptions, ssf } from './ssf.ts';
