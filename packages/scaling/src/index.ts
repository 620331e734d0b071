export { type AdapterHubIa3Options, adapterHubIa3 } from './adapter-hub-ia3.ts';
export { type DiffFitOptions, diffFit } from './diff-fit.ts';
export { type Ia3Options, ia3 } from './ia3.ts';
export { type LlamaAdapterV2Options, llamaAdapterV2 } from './llama-adapter-v2.ts';
export { type MovOptions, mov } from './mov.ts';
export { type PastaOptions, pasta } from './pasta.ts';
export { type PeqaOptions, peqa } from './peqa.ts';
export { type SsfOptions, ssf } from './ssf.ts';
