import { baseEncoderDir } from '@peftjs/base-encoder';
import { fromArray, pipe, type Stream, splitByHash } from '@peftjs/data';
import { loadTokenizer } from '@peftjs/io';
import { loadConfig, sequenceClassifier } from '@peftjs/transformer';
import type { ClassData, ClassExample } from './class-data.ts';
import { loadMails, type Mail } from './mails.ts';

const labels = ['not spam', 'spam'];

/** Mails of each kind. */
const each = 600;

/** Tokens of a mail, at most, where nothing else is said. */
const usualLongest = 96;

const allOf = async <T>(stream: Stream<T>): Promise<T[]> => {
  const all: T[] = [];
  for await (const one of stream.open()) all.push(one);
  return all;
};

/** Mails that are spam or not, split by a hash of their words, for an encoder; of each mail at most so many tokens. */
export const spamData = async (modelDir?: string, longest: number = usualLongest): Promise<ClassData> => {
  const dir = modelDir ?? baseEncoderDir();
  const [tokenizer, config] = [await loadTokenizer(dir), await loadConfig(dir)];
  const length = Math.min(longest, config.maxPositions);
  const { train, heldOut } = splitByHash<Mail>({ heldOut: 1 / 3 });
  const mails = fromArray(loadMails(each));
  const example = ({ text, isSpam }: Mail): ClassExample => {
    const whole = tokenizer.encode(text, { readSpecial: false });
    // Of a mail that is too long the end is left out, and not the token that closes every text.
    const ids = whole.length > length ? Int32Array.of(...whole.slice(0, length - 1), whole.at(-1)!) : whole;
    const label = isSpam ? 1 : 0;
    return { row: { ids, labels: Int32Array.of(label) }, label, shown: { text } };
  };
  return {
    name: 'spam or not',
    examples: 'mails',
    dir,
    base: modelDir ?? '@peftjs/base-encoder',
    labels,
    task: sequenceClassifier({ labels }),
    train: (await allOf(pipe(mails, train))).map(example),
    test: (await allOf(pipe(mails, heldOut))).map(example),
    shapes: { labels: [] },
    length,
  };
};
