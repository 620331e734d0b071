import { describeTransform } from '@peftjs/testkit';
import { adafactor, adamw, adamw8bit, chain, clip, lion, muon, prodigy, scheduleFree, sgd } from './index.ts';

describeTransform('adamw', { make: () => chain(clip(1), adamw()) });
describeTransform('adamw with decay', { make: () => adamw({ weightDecay: 0.1 }), movesAtZero: true });
describeTransform('adamw8bit', { make: () => adamw8bit({ leastSize: 0 }) });
describeTransform('adafactor', { make: () => adafactor() });
describeTransform('clip', { make: () => clip(1) });
describeTransform('lion', { make: () => lion() });
describeTransform('muon', { make: () => muon() });
describeTransform('prodigy', { make: () => prodigy({ start: 1e-2 }), rate: 1 });
describeTransform('scheduleFree', { make: () => scheduleFree() });
describeTransform('sgd', { make: () => sgd({ momentum: 0.9 }) });
