export { type Collecting, collect } from './collect/collect.ts';
export { eachGradient } from './collect/each-gradient.ts';
export { inputsOf } from './collect/inputs-of.ts';
export { rowsOf } from './collect/rows-of.ts';
export { seenBy } from './collect/seen-by.ts';
export { type OwnWeights, withWeights } from './collect/weights-of.ts';
