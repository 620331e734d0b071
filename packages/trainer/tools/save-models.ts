// Saves two models in turn into one folder, until it is killed: `save-models.ts <folder>`. Tells each time that it has.
import { reference } from '@peftjs/tensor';
import { saveModel } from '@peftjs/transformer';
import { tinyLlama } from '@peftjs/transformer/testing';

const executor = reference();
const models = [1, 2].map((seed) => tinyLlama({}, seed));
for (;;)
  for (const model of models) {
    await saveModel(model, process.argv[2]!, { executor });
    console.log('saved');
  }
