export { endless, streamOf } from './batches.ts';
export type { ClassData, ClassExample } from './class-data.ts';
export { clothesData } from './clothes.ts';
export { spamData } from './spam.ts';
