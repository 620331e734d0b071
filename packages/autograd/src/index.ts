export { grad } from './grad.ts';
export { type GradcheckOptions, type GradcheckPoint, type GradMismatch, gradcheck } from './gradcheck.ts';
export { type CouplingOptions, coupled, recomputed } from './recomputed.ts';
