export { type Collecting, collect } from './collect/collect.ts';
export { eachGradient } from './collect/each-gradient.ts';
export { inputsOf } from './collect/inputs-of.ts';
export { keepLargest, type Largest } from './collect/keep-largest.ts';
export { checkPlaces, isAscending } from './collect/places.ts';
export { rowsOf } from './collect/rows-of.ts';
export { seenBy } from './collect/seen-by.ts';
export { sumGradients } from './collect/sum-gradients.ts';
export { type OwnWeights, withWeights } from './collect/weights-of.ts';
