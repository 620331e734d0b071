import { elementTypes, type ModelProto } from './model.ts';

/** The name of the result that ends a run. */
export const endName = 'end';

/**
 * A model with a first result that onnxruntime-node does not give to JavaScript: an empty list of tensors. It copies each result of a run into a new array, those too that the graph wrote into arrays of the caller's, in the order of
 * the model; at this one it gives up, when all is computed and nothing copied yet.
 */
export const withEnd = (model: ModelProto): ModelProto => ({
  ...model,
  nodes: [
    ...model.nodes,
    {
      name: endName,
      type: 'SequenceEmpty',
      domain: '',
      inputs: [],
      outputs: [endName],
      attributes: { dtype: elementTypes.float },
    },
  ],
  outputs: [{ name: endName, type: 'float', dims: [], isList: true }, ...model.outputs],
});

/** Whether an error is onnxruntime-node's at that result. */
export const isEnd = (error: unknown): boolean =>
  error instanceof Error && error.message.startsWith('Non tensor type is temporarily not supported');
