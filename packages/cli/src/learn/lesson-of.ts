import { labelled, tagged } from './classes.ts';
import type { MakeLesson } from './lesson.ts';
import { pictures } from './pictures.ts';
import { seq2seq } from './seq2seq.ts';
import { vectors } from './vectors.ts';
import { checkObjective, writing } from './writing.ts';

/** Lessons by the name of their task. */
const lessons: Readonly<Record<string, MakeLesson>> = {
  causalLM: writing,
  seq2seqLM: seq2seq,
  sequenceClassifier: labelled,
  tokenClassifier: tagged,
  featureExtraction: vectors,
  imageClassifier: pictures,
};

/** The lesson of a run. Throws as those of its task; `bad-config` for an objective that is not of the task. */
export const lessonOf: MakeLesson = async (config, place) => {
  checkObjective(config);
  return lessons[config.task.name]!(config, place);
};
