export { load, type SaveOptions, save } from './adapter-file.ts';
export { type Adapted, type AttachOptions, attach } from './attach.ts';
export { type Init, kaimingUniform, normal, ones, zeros } from './init.ts';
export { type LinearMethodDef, linearMethod } from './linear-method.ts';
export { merge } from './merge.ts';
export type { AdapterConfig, AroundTable, Method, MethodFormat, Patch, Scope } from './method.ts';
export { nameMatches, select, type Target } from './target.ts';
