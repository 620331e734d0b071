import { falling, fallingRules, type Schedule, type ScheduleOptions } from '../schedule.ts';

/** A warm-up, then a straight line down to the floor. Hugging Face's `linear`. Throws `bad-option`. */
export const linear = (options: ScheduleOptions): Schedule =>
  falling('linear', fallingRules, options, (done) => 1 - done);
