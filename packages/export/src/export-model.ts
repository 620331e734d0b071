import { type FileContent, filesAt, type Place, writable } from '@peftjs/io';
import { type OnnxFilesOptions, type OnnxInput, onnxFiles } from '@peftjs/onnx';
import {
  buildProgram,
  checkOptions,
  mustBe,
  type OnExecutor,
  onExecutor,
  PeftError,
  type ProgramSpec,
  type Rules,
} from '@peftjs/tensor';
import {
  companionFiles,
  configText,
  hfConfig,
  loadGenerationConfig,
  requireModel,
  type TaskModel,
} from '@peftjs/transformer';
import { decoderWithPast } from './decoder.ts';
import { genaiConfig } from './genai-config.ts';
import { kindsOf, wholePass } from './whole-pass.ts';

/** The executor that has a model's values, and how it is written. */
export interface ExportModelOptions extends OnExecutor {
  /** Whether the file continues earlier passes, as generation needs. Default: true for a decoder that predicts the next token. */
  readonly cache?: boolean;
  /** Positions in the file's tables: the longest text. Default: all that the model has. */
  readonly context?: number;
  /** Weights in a file beside the model. Default: only when they exceed 1 GiB. */
  readonly externalData?: boolean;
}

const rules: Rules<ExportModelOptions> = {
  ...onExecutor,
  cache: mustBe.flag,
  context: mustBe.count,
  externalData: mustBe.flag,
};

const isDecoder = ({ main, task }: TaskModel): boolean => main.attends === 'before' && task.head === 'causalLM';

const positionsOf = ({ config, positionsLeft }: TaskModel): number => Math.min(config.maxPositions, positionsLeft);

const check = (model: TaskModel, { cache, context }: ExportModelOptions): void => {
  if (model.towers.length > 1)
    throw new PeftError(
      'unknown-architecture',
      `exportModel: ${model.config.modelType} has ${model.towers.map((t) => t.name).join(' and ')}, which other runtimes take as files of their own; models of one tower can be exported`,
    );
  if (model.main.reads.picture)
    throw new PeftError(
      'unknown-architecture',
      `exportModel: ${model.config.modelType} reads pictures, and files are made of models that read tokens; saveModel writes it for transformers`,
    );
  if (model.batchSize !== null)
    throw new PeftError(
      'not-mergeable',
      `exportModel: this view takes batches of ${model.batchSize} sequences alone; export the views that it mixes, one by one`,
    );
  if (cache && !isDecoder(model))
    throw new PeftError(
      'bad-option',
      `exportModel: cache is for decoders that predict the next token, not for ${model.task.name} of ${model.config.modelType}; leave it out`,
    );
  const most = positionsOf(model);
  if (context !== undefined && context > most)
    throw new PeftError(
      'bad-option',
      `exportModel: context must be at most ${most}, the model's positions, got ${context}`,
    );
};

/** Whether a pass reads positions: it does not where scores fall with the distance instead (ALiBi). */
const readsPositions = (pass: Pick<ProgramSpec, 'outputs'>): boolean =>
  buildProgram(pass).inputs.some(({ name }) => name === 'positions');

/** The file's integers are int64, as those of PyTorch. */
const int64 = (name: string, as: OnnxInput['as'] = 'values'): OnnxInput => ({ name, type: 'int64', as });

const onnxOf = (
  model: TaskModel,
  { executor, cache = isDecoder(model), context, externalData }: ExportModelOptions,
) => {
  const { ids, mask } = model.main.reads;
  const shared: Pick<OnnxFilesOptions, 'executor' | 'name' | 'externalData'> = {
    executor,
    name: 'model.onnx',
    ...(externalData !== undefined && { externalData }),
  };
  const texts = { [ids]: int64('input_ids'), [mask]: int64('attention_mask') };
  if (cache) {
    const pass = decoderWithPast(model, context);
    const isPlaced = readsPositions(pass({ batch_size: 1, past_sequence_length: 1, sequence_length: 1 }));
    return onnxFiles(pass, {
      ...shared,
      sizes: { batch_size: 1, past_sequence_length: 0, sequence_length: 1 },
      inputs: { ...texts, ...(isPlaced && { positions: int64('position_ids') }) },
    });
  }
  const kinds = [...kindsOf(model)].map(([kind, name]) => [kind, int64(name)] as const);
  const pass = wholePass(model, context);
  const isPlaced = readsPositions(pass({ batch_size: 1, sequence_length: 1 }));
  const { attends, unplacedToken } = model.main;
  return onnxFiles(pass, {
    ...shared,
    sizes: { batch_size: 1, sequence_length: 1 },
    inputs: {
      ...texts,
      ...(isPlaced && {
        positions: int64('attention_mask', attends === 'before' || unplacedToken !== null ? 'places' : 'order'),
      }),
      ...Object.fromEntries(kinds),
    },
  });
};

/** For a decoder with a cache and a longest text; the tokens that end a text are those that it generates with. */
const genaiOf = async (
  model: TaskModel,
  { cache = isDecoder(model), context = positionsOf(model) }: ExportModelOptions,
) => {
  if (!cache || !Number.isFinite(context)) return null;
  const { source } = model.layout;
  const generation = source && (await loadGenerationConfig(source));
  return genaiConfig(model, generation && generation.eosIds.length > 0 ? generation : model.config, context);
};

const jsonText = (value: object): string => `${JSON.stringify(value, null, 2)}\n`;

/**
 * Writes a model, adapted or merged or plain, as a folder that transformers.js, Optimum and ONNX Runtime take: `onnx/model.onnx`, `config.json`, and
 * the tokenizer, chat template and `generation_config.json` of the folder that it was loaded from; for decoders that end texts with a token
 * `genai_config.json` too, which onnxruntime-genai reads, where their positions or `context` have a limit. Batch and lengths are free.
 *
 * A decoder continues earlier passes: inputs `input_ids`, `position_ids` int64 [batch, tokens], `attention_mask` int64 [batch, past + tokens],
 * `past_key_values.N.key` and `.value` float [batch, key heads, past, head dim], where past may be 0; outputs `logits` and
 * `present.N.key`, `.value`. Without a cache, and for encoders: `input_ids`, `attention_mask` (`token_type_ids`), and `logits`; positions of a decoder then are
 * those among the tokens that the mask keeps, and so are those of encoders whose padding takes none (RoBERTa, XLM-R, MPNet): the mask has to hide it. Decoders with ALiBi have no `position_ids`. Names and layout are those of Optimum's exporter, https://github.com/huggingface/optimum-onnx.
 *
 * f16 weights stay f16 in the file; inputs, outputs and computing are f32. Ids and positions beyond the tables make a run fail. Into a
 * folder on disk, or `Files` that can be written; the old one stays until the new is whole. Throws `bad-option`; `unknown-architecture` for
 * encoder-decoders and models of pictures; `not-mergeable` where a file cannot say what the model does; `bad-program`; `write-failed`.
 */
export const exportModel = async (model: TaskModel, dir: Place, options: ExportModelOptions): Promise<void> => {
  requireModel('exportModel', model);
  checkOptions('exportModel', rules, options);
  check(model, options);
  const onnx = [...(await onnxOf(model, options))].map(([name, content]) => [`onnx/${name}`, content] as const);
  const config = {
    ...hfConfig(model, 'f32'),
    // transformers.js asks for weights beside a model only where it is told of them.
    ...(onnx.length > 1 && { 'transformers.js_config': { use_external_data_format: true } }),
  };
  const genai = await genaiOf(model, options);
  const files = writable(await filesAt(dir));
  await files.write(
    new Map<string, FileContent>([
      ...(await companionFiles(model)),
      ...onnx,
      ...(genai ? [['genai_config.json', jsonText(genai)] as const] : []),
      ['config.json', configText(config)],
    ]),
  );
};
