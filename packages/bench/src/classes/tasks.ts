import type { ClassTask } from './class-task.ts';
import { images } from './images.ts';
import { spam } from './spam.ts';

/** The tasks of classes to tell apart. Only when asked for by name. */
export const classTasks: readonly ClassTask[] = [spam, images];

/** That of a name. */
export const taskOf = (name: string): ClassTask => classTasks.find((task) => task.name === name)!;
