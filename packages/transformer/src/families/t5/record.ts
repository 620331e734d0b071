/** That in which encoder-decoders of T5's kind differ. */
export interface T5Record {
  readonly modelType: 't5' | 'mt5' | 'umt5';
  /** The word that its classes in transformers begin with: `T5` of `T5ForConditionalGeneration`. */
  readonly stem: string;
  /** Whether the states that the head reads are divided by √hiddenSize: as the config says, never, or where the head is the tokens' table. */
  readonly scaledHead: 'stated' | 'never' | 'tied';
  /** The blocks of a stack that have a table of relative positions: the first, whose table all read, or all. */
  readonly biases: 'first' | 'all';
  /** Defaults of its class of configs, by the names in `config.json`, where they are not those of `T5Config`. */
  readonly defaults: Readonly<Record<string, unknown>>;
  /** Whether its class of the adapters library is known here. Default false. */
  readonly stacks?: boolean;
  /** Default targets by table, beside those that both have; see `ModelLayout.defaultTarget`. */
  readonly targets: Readonly<Record<string, readonly string[]>>;
}
