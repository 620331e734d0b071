import { anywhere } from './space.ts';
import { firstOpen, type Strategy } from './trial.ts';

/** Every trial at random: what other strategies have to beat. */
export const randomly = (): Strategy => async (soFar) => firstOpen(soFar, () => anywhere(soFar.space, soFar.random));
