export type { AnswerOptions, AnswerRow, AnswerSource } from './answers.ts';
export {
  type Batch,
  type BatchOptions,
  batch,
  type StackOptions,
} from './batch.ts';
export { type BatchByTokensOptions, batchByTokens } from './batch-by-tokens.ts';
export { type CachedOptions, cached } from './cache/cached.ts';
export { sourceKey } from './cache/source-key.ts';
export { type ChatRow, type ChatStageOptions, chat } from './chat.ts';
export { type ColumnRule, type ColumnRules, columnProblem, columns, tokenColumns } from './columns.ts';
export { type CsvOptions, type CsvRow, csv } from './csv.ts';
export { type DescribeRowsOptions, type Description, describeRows, type Lengths } from './describe-rows.ts';
export { flatMap } from './flat-map.ts';
export { classNames } from './formats/class-names.ts';
export { type ConvertOptions, convert } from './formats/convert.ts';
export type { FieldNames } from './formats/fields.ts';
export { type ImageFolder, type ImageItem, imageFolder } from './formats/image-folder.ts';
export type {
  CompletionItem,
  DataFormat,
  ItemOf,
  JudgedItem,
  LabelItem,
  MessagesItem,
  PreferenceItem,
  QuestionItem,
  Said,
  TagItem,
  TargetItem,
  TextItem,
} from './formats/items.ts';
export { type Recognised, recognise } from './formats/recognise.ts';
export { fromArray } from './from-array.ts';
export { gunzip } from './gunzip.ts';
export { ignored } from './ignored.ts';
export { inSequence } from './in-sequence.ts';
export { type JsonOptions, json } from './json.ts';
export { jsonl } from './jsonl.ts';
export { type JudgedRow, judged } from './judged.ts';
export { filter, map } from './map.ts';
export { type MismatchedOptions, mismatched } from './mismatched.ts';
export { type MixOptions, type MixSource, mix } from './mix.ts';
export { type OpenRowsOptions, openRows } from './open-rows.ts';
export { opened, type Reading } from './opened.ts';
export { type PackedRow, pack } from './pack.ts';
export { packTokens, type TokenRows } from './pack-tokens.ts';
export { type PackedWindow, type PackWholeOptions, packWhole, type WholeRow } from './pack-whole.ts';
export type { PackOptions } from './packer.ts';
export { type ParquetOptions, type ParquetRow, parquet } from './parquet.ts';
export { pipe } from './pipe.ts';
export { type PreferencesOptions, preferences } from './preferences.ts';
export { repeat } from './repeat.ts';
export { type AtMostOptions, atMost, type Misfit } from './rows/at-most.ts';
export { type LabelRowOptions, labelRows, type TagRowOptions, tagRows } from './rows/class-rows.ts';
export { type QuestionRowOptions, questionRows } from './rows/question-rows.ts';
export {
  type ChatCodec,
  type CompletionRowOptions,
  completionRows,
  type TextCodec,
  type TextRowOptions,
  textRows,
} from './rows/said-rows.ts';
export { type TargetRow, targetRows } from './rows/target-rows.ts';
export { type WholeTurnsOptions, wholeTurns } from './rows/whole-turns.ts';
export { type ShardOptions, shard } from './shard.ts';
export { type DecoderStart, shiftRight } from './shift-right.ts';
export { type ShuffleOptions, shuffle } from './shuffle.ts';
export { shuffled } from './shuffled.ts';
export { type SkipBadOptions, skipBad } from './skip-bad.ts';
export { type Split, type SplitOptions, splitByHash } from './split-by-hash.ts';
export type { Cursor, Opened, Origin, Parts, Row, Stage, Stream } from './stream.ts';
export { type TemperatureOptions, temperatureWeights } from './temperature-weights.ts';
export { type TextOptions, text } from './text.ts';
export { textLines } from './text-lines.ts';
export { type TokenizeOptions, type TokenRow, tokenize } from './tokenize.ts';
export { type UniqueOptions, unique } from './unique.ts';
