/** That in which encoder-decoders of T5's kind differ. */
export interface T5Record {
  readonly modelType: 't5' | 'mt5';
  /** The word that its classes in transformers begin with: `T5` of `T5ForConditionalGeneration`. */
  readonly stem: string;
  /** Defaults of its class of configs, by the names in `config.json`, where they are not those of `T5Config`. */
  readonly defaults: Readonly<Record<string, unknown>>;
  /** Default targets by table, beside those that both have; see `ModelLayout.defaultTarget`. */
  readonly targets: Readonly<Record<string, readonly string[]>>;
}
