export { ggufFolder } from './gguf-folder.ts';
export type { GgufValue } from './header.ts';
export { type LoadGgufOptions, loadGguf } from './load-gguf.ts';
export { type GgufFile, type GgufStorage, type GgufTensor, openGguf, readValues } from './open-gguf.ts';
export { type SaveGgufAdapterOptions, saveGgufAdapter } from './save-adapter.ts';
export { type GgufMixture, type SaveGgufOptions, saveGguf } from './save-gguf.ts';
