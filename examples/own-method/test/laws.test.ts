// test/laws.test.ts
import { describeMethod, describeTask, describeTransform, sumOver, tinyBert } from '@peftjs/testkit';
import { adagrad } from '../src/adagrad.js';
import { focalClassifier } from '../src/focal-classifier.js';
import { loraFa } from '../src/lora-fa.js';

describeMethod(loraFa, {
  options: { rank: 2, alpha: 4 }, // small, for tiny models
  parameters: (model) => sumOver(model, /^(?!lm_head|classifier)/, (_, outDim) => 2 * outDim), // how many values are trained, by formula
});

describeTask('focalClassifier', {
  model: () => tinyBert({}, 0, focalClassifier({ labels: 3 })),
  batch: {
    rows: 3,
    columns: { ids: Int32Array.of(3, 4, 5, 6, 7, 8), labels: Int32Array.of(2, 0, 1) },
    shapes: { ids: [3, 2], labels: [3] },
  },
  mean: (logits, { rows, columns }) => {
    let total = 0;
    for (let row = 0; row < rows; row++) {
      const own = [...logits.subarray(3 * row, 3 * row + 3)].map(Math.exp);
      const p = own[columns['labels']![row]!]! / own.reduce((a, b) => a + b);
      total -= (1 - p) ** 2 * Math.log(p);
    }
    return total / rows;
  },
});

describeTransform('adagrad', { make: () => adagrad() });
