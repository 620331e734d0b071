export { baseModelDir } from './base-model-dir.ts';
export type { Document, DocumentSplit } from './document.ts';
export { holdOut } from './hold-out.ts';
export { normalizeText } from './normalize-text.ts';
export { plainProse } from './plain-prose.ts';
export { type Section, splitSections } from './split-sections.ts';
