import { add, type Tensor } from '@peftjs/tensor';
import { addedLogits, type Pass } from '@peftjs/transformer';

/** Lets a pass add logits of classes, [pictures, classes], made of the pictures' vectors [pictures, d], beside those that are added already. */
export const addLogits = (pass: Pass, logitsOf: (vectors: Tensor, classes: number) => Tensor): void => {
  const others = pass.get(addedLogits);
  pass.put(addedLogits, (vectors, classes) => {
    const own = logitsOf(vectors, classes);
    return others ? add(others(vectors, classes), own) : own;
  });
};
