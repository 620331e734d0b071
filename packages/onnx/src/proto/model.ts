import {
  bytesField,
  floatField,
  intField,
  intsField,
  type Message,
  message,
  messageField,
  stringField,
  toBytes,
} from './wire.ts';

/** Element types of ONNX (TensorProto.DataType). */
export const elementTypes = {
  float: 1,
  uint8: 2,
  int32: 6,
  int64: 7,
  bool: 9,
  float16: 10,
  double: 11,
  uint32: 12,
  uint64: 13,
} as const;

/** An element type by name. */
export type ElementType = keyof typeof elementTypes;

/** An attribute of a node: a number is an integer, `{ float }` a float. */
export type Attribute = number | readonly number[] | string | { readonly float: number };

/** One call of an operator. An input named '' is absent. */
export interface NodeProto {
  readonly name: string;
  readonly type: string;
  /** '' is ai.onnx. */
  readonly domain: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: Readonly<Record<string, Attribute>>;
}

/** A named value with a fixed shape. */
export interface ValueProto {
  readonly name: string;
  readonly type: ElementType;
  readonly dims: readonly number[];
}

/** Where the bytes of an external initialiser lie, relative to the model's folder. */
export interface ExternalData {
  readonly location: string;
  readonly offset: number;
  readonly length: number;
}

/** A value in the model, or beside it. */
export interface TensorProto extends ValueProto {
  readonly data: Uint8Array | ExternalData;
}

/** What a model file holds. */
export interface ModelProto {
  readonly nodes: readonly NodeProto[];
  readonly inputs: readonly ValueProto[];
  readonly outputs: readonly ValueProto[];
  readonly initializers: readonly TensorProto[];
}

/** Version of ai.onnx that the lowering speaks, and of the file format that goes with it. */
const opset = 23;
const irVersion = 11;

const attribute = (name: string, value: Attribute): Message => {
  const kind = (type: number, ...fields: readonly Message[]): Message =>
    message(stringField(1, name), ...fields, intField(20, type));
  if (typeof value === 'number') return kind(2, intField(3, value));
  if (typeof value === 'string') return kind(3, stringField(4, value));
  return 'float' in value ? kind(1, floatField(2, value.float)) : kind(7, ...value.map((v) => intField(8, v)));
};

const node = ({ name, type, domain, inputs, outputs, attributes }: NodeProto): Message =>
  message(
    ...inputs.map((t) => stringField(1, t)),
    ...outputs.map((t) => stringField(2, t)),
    stringField(3, name),
    stringField(4, type),
    ...Object.entries(attributes).map(([key, value]) => messageField(5, attribute(key, value))),
    stringField(7, domain),
  );

const value = ({ name, type, dims }: ValueProto): Message => {
  const shape = message(...dims.map((d) => messageField(1, intField(1, d))));
  return message(
    stringField(1, name),
    messageField(2, messageField(1, message(intField(1, elementTypes[type]), messageField(2, shape)))),
  );
};

const entry = (key: string, text: string): Message =>
  messageField(13, message(stringField(1, key), stringField(2, text)));

const tensor = ({ name, type, dims, data }: TensorProto): Message =>
  message(
    intsField(1, dims),
    intField(2, elementTypes[type]),
    stringField(8, name),
    ...(data instanceof Uint8Array
      ? [bytesField(9, data)]
      : [
          entry('location', data.location),
          entry('offset', `${data.offset}`),
          entry('length', `${data.length}`),
          intField(14, 1),
        ]),
  );

const operatorSet = (domain: string, version: number): Message => message(stringField(1, domain), intField(2, version));

/**
 * The bytes of an ONNX model (https://onnx.ai/onnx/repo-docs/IR.html).
 * Written here because the ready encoders cost more than they save: `onnx-proto` is 330 kB of CommonJS generated from ONNX 1.10 on
 * protobufjs 6, and of its 30 messages these six are needed.
 */
export const encodeModel = ({ nodes, inputs, outputs, initializers }: ModelProto): Uint8Array => {
  const graph = message(
    ...nodes.map((n) => messageField(1, node(n))),
    stringField(2, 'program'),
    ...initializers.map((t) => messageField(5, tensor(t))),
    ...inputs.map((v) => messageField(11, value(v))),
    ...outputs.map((v) => messageField(12, value(v))),
  );
  return toBytes(
    message(
      intField(1, irVersion),
      stringField(2, 'peftjs'),
      messageField(7, graph),
      messageField(8, operatorSet('', opset)),
      messageField(8, operatorSet('com.microsoft', 1)),
    ),
  );
};
