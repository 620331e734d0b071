import { Wire } from './wire.ts';

/** Element types of ONNX (TensorProto.DataType). */
export const elementTypes = {
  float: 1,
  uint8: 2,
  int8: 3,
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

/** An attribute of a node: a number is an integer, `{ float }` a float, `{ body }` the graph that a loop runs. */
export type Attribute = number | readonly number[] | string | { readonly float: number } | { readonly body: BodyProto };

/** A value that goes into or out of a loop's body: a tensor, or a list of them. */
export interface BodyValue {
  readonly name: string;
  readonly type: ElementType;
  readonly isList?: boolean;
  readonly isScalar?: boolean;
}

/**
 * The graph that a loop runs. It reads values of the graph around it: these are the last `captures` inputs of the loop's node, and its nodes call them
 * `$0`, `$1`, and so on. All other names are its own, with a slash in them, as no name of the graph around it has.
 */
export interface BodyProto {
  readonly captures: number;
  readonly inputs: readonly BodyValue[];
  readonly outputs: readonly BodyValue[];
  readonly nodes: readonly NodeProto[];
}

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

/** A named value. A size is a number, or a word where it is known only at a run: equal words are equal sizes. */
export interface ValueProto {
  readonly name: string;
  readonly type: ElementType;
  readonly dims: readonly (number | string)[];
  /** Whether it is a list of tensors, whose sizes nothing says. */
  readonly isList?: boolean;
}

/** Where the bytes of an external initialiser lie, relative to the model's folder. */
export interface ExternalData {
  readonly location: string;
  readonly offset: number;
  readonly length: number;
}

/** A value in the model, or beside it. */
export interface TensorProto extends ValueProto {
  readonly dims: readonly number[];
  readonly data: Uint8Array | ExternalData;
}

/** The content of a model file. */
export interface ModelProto {
  readonly nodes: readonly NodeProto[];
  readonly inputs: readonly ValueProto[];
  readonly outputs: readonly ValueProto[];
  readonly initializers: readonly TensorProto[];
}

/** Version of ai.onnx that the lowering speaks, and of the file format that goes with it. */
const opset = 23;
const irVersion = 11;

const writeBodyValue = (w: Wire, { name, type, isList = false, isScalar = false }: BodyValue): void => {
  w.string(1, name);
  w.message(2, () => {
    const tensor = (): void =>
      w.message(1, () => {
        w.int(1, elementTypes[type]);
        if (isScalar) w.message(2, () => {});
      });
    if (isList) w.message(4, () => w.message(1, tensor));
    else tensor();
  });
};

const writeBody = (w: Wire, { inputs, outputs, nodes }: BodyProto, captured: readonly string[]): void => {
  const named = (name: string): string => (name.startsWith('$') ? captured[Number(name.slice(1))]! : name);
  for (const n of nodes) w.message(1, () => writeNode(w, { ...n, inputs: n.inputs.map(named) }));
  w.string(2, 'body');
  for (const v of inputs) w.message(11, () => writeBodyValue(w, v));
  for (const v of outputs) w.message(12, () => writeBodyValue(w, v));
};

const writeAttribute = (w: Wire, name: string, value: Attribute, captured: readonly string[]): void => {
  w.string(1, name);
  if (typeof value === 'number') {
    w.int(3, value);
    w.int(20, 2);
  } else if (typeof value === 'string') {
    w.string(4, value);
    w.int(20, 3);
  } else if ('float' in value) {
    w.float(2, value.float);
    w.int(20, 1);
  } else if ('body' in value) {
    w.message(6, () => writeBody(w, value.body, captured));
    w.int(20, 5);
  } else {
    for (const v of value) w.int(8, v);
    w.int(20, 7);
  }
};

/** How many of a node's inputs are read by its body alone: the last ones. */
const capturesOf = (attributes: NodeProto['attributes']): number =>
  Object.values(attributes).reduce<number>(
    (sum, value) => sum + (typeof value === 'object' && 'body' in value ? value.body.captures : 0),
    0,
  );

const writeNode = (w: Wire, { name, type, domain, inputs, outputs, attributes }: NodeProto): void => {
  const own = inputs.length - capturesOf(attributes);
  for (const t of inputs.slice(0, own)) w.string(1, t);
  for (const t of outputs) w.string(2, t);
  w.string(3, name);
  w.string(4, type);
  for (const key of Object.keys(attributes))
    w.message(5, () => writeAttribute(w, key, attributes[key]!, inputs.slice(own)));
  w.string(7, domain);
};

const writeValue = (w: Wire, { name, type, dims, isList }: ValueProto): void => {
  if (isList) {
    writeBodyValue(w, { name, type, isList });
    return;
  }
  w.string(1, name);
  w.message(2, () =>
    w.message(1, () => {
      w.int(1, elementTypes[type]);
      w.message(2, () => {
        for (const d of dims) w.message(1, () => (typeof d === 'number' ? w.int(1, d) : w.string(2, d)));
      });
    }),
  );
};

const writeEntry = (w: Wire, key: string, value: string): void =>
  w.message(13, () => {
    w.string(1, key);
    w.string(2, value);
  });

const writeTensor = (w: Wire, { name, type, dims, data }: TensorProto): void => {
  for (const d of dims) w.int(1, d);
  w.int(2, elementTypes[type]);
  w.string(8, name);
  if (data instanceof Uint8Array) {
    w.bytes(9, data);
    return;
  }
  writeEntry(w, 'location', data.location);
  writeEntry(w, 'offset', `${data.offset}`);
  writeEntry(w, 'length', `${data.length}`);
  w.int(14, 1);
};

const writeOperatorSet = (w: Wire, domain: string, version: number): void =>
  w.message(8, () => {
    w.string(1, domain);
    w.int(2, version);
  });

/**
 * The bytes of an ONNX model (https://onnx.ai/onnx/repo-docs/IR.html).
 * Written here because the ready encoders cost more than they save: `onnx-proto` is 330 kB of CommonJS generated from ONNX 1.10 on
 * protobufjs 6, and of its 30 messages these few are needed.
 */
export const encodeModel = ({ nodes, inputs, outputs, initializers }: ModelProto): Uint8Array => {
  const w = new Wire();
  w.int(1, irVersion);
  w.string(2, 'peftjs');
  w.message(7, () => {
    for (const n of nodes) w.message(1, () => writeNode(w, n));
    w.string(2, 'program');
    for (const t of initializers) w.message(5, () => writeTensor(w, t));
    for (const v of inputs) w.message(11, () => writeValue(w, v));
    for (const v of outputs) w.message(12, () => writeValue(w, v));
  });
  writeOperatorSet(w, '', opset);
  writeOperatorSet(w, 'com.microsoft', 1);
  return w.finish();
};
