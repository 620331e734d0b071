import { quote } from '../report.ts';
import { bytesOfDType, type FileDType } from '../safetensors/dtype.ts';
import { isKind, isSize, type PickleStorage, type PickleTensor, type PickleValue } from './pickle.ts';

/** Element types by the names of torch's storages and dtypes. */
const dtypes: Readonly<Record<string, FileDType>> = {
  'torch.BoolStorage': 'BOOL',
  'torch.ByteStorage': 'U8',
  'torch.CharStorage': 'I8',
  'torch.ShortStorage': 'I16',
  'torch.IntStorage': 'I32',
  'torch.LongStorage': 'I64',
  'torch.HalfStorage': 'F16',
  'torch.BFloat16Storage': 'BF16',
  'torch.FloatStorage': 'F32',
  'torch.DoubleStorage': 'F64',
  'torch.bool': 'BOOL',
  'torch.uint8': 'U8',
  'torch.int8': 'I8',
  'torch.int16': 'I16',
  'torch.uint16': 'U16',
  'torch.int32': 'I32',
  'torch.uint32': 'U32',
  'torch.int64': 'I64',
  'torch.uint64': 'U64',
  'torch.float16': 'F16',
  'torch.bfloat16': 'BF16',
  'torch.float32': 'F32',
  'torch.float64': 'F64',
};

const untyped = 'torch.storage.UntypedStorage';

const sizesOf = (value: PickleValue | undefined): readonly number[] | undefined =>
  isKind(value, 'tuple', 'list') && value.items.every(isSize) ? (value.items as readonly number[]) : undefined;

const tensor = (args: readonly PickleValue[], dtype: string | null): PickleTensor => {
  const [storage, offset, size, stride] = args;
  const [shape, strides] = [sizesOf(size), sizesOf(stride)];
  if (!isKind(storage, 'storage') || !isSize(offset) || !shape || shape.length !== strides?.length)
    throw new SyntaxError('a tensor is not made of a storage, an offset, sizes and strides');
  return { kind: 'tensor', storage, dtype, offset, shape, strides };
};

const nameOf = (value: PickleValue | undefined): string => (isKind(value, 'name') ? value.name : '');

/** Calls that make tensors and what holds them. What torch keeps beside (gradients wanted, hooks, attributes) is of no use here. */
export const buildTorch = (name: string, args: readonly PickleValue[]): PickleValue | undefined => {
  switch (name) {
    case 'collections.OrderedDict': {
      const pairs = isKind(args[0], 'list') ? args[0].items : [];
      const entries = pairs.map((pair): [PickleValue, PickleValue] => {
        if (isKind(pair, 'tuple', 'list') && pair.items.length === 2) return [pair.items[0]!, pair.items[1]!];
        throw new SyntaxError('a dict is not made of pairs');
      });
      return { kind: 'dict', entries: new Map(entries) };
    }
    case 'torch.Size':
      return isKind(args[0], 'tuple', 'list') ? args[0] : undefined;
    case 'torch._utils._rebuild_tensor':
    case 'torch._utils._rebuild_tensor_v2':
      return tensor(args, null);
    case 'torch._utils._rebuild_tensor_v3':
      return tensor(args, nameOf(args[6]));
    case 'torch._utils._rebuild_parameter':
    case 'torch._utils._rebuild_parameter_with_state':
      return isKind(args[0], 'tensor') ? args[0] : undefined;
    case 'torch._tensor._rebuild_from_type_v2': {
      const [call, type, inner] = args;
      const isPlain = ['torch.Tensor', 'torch.nn.parameter.Parameter'].includes(nameOf(type));
      return isPlain && isKind(inner, 'tuple') && nameOf(call).startsWith('torch._utils._rebuild_')
        ? buildTorch(nameOf(call), inner.items)
        : undefined;
    }
    default:
      return undefined;
  }
};

/** The storage that a persistent id names: `('storage', class, key, device, elements)`. */
export const storageOf = (id: PickleValue): PickleStorage => {
  const [word, type, key, , size, view] = isKind(id, 'tuple') ? id.items : [];
  if (word !== 'storage' || typeof key !== 'string' || !isSize(size) || (view !== undefined && view !== null))
    throw new SyntaxError('it names something else than a storage');
  const name = nameOf(type);
  if (name !== untyped && !Object.hasOwn(dtypes, name))
    throw new SyntaxError(`it has a storage of type ${quote(name || 'unknown')}, which is not read`);
  return { kind: 'storage', type: name, key, size };
};

/** The element type of a tensor; undefined where it is none that is read, or not that of the storage. */
export const dtypeOf = ({ storage, dtype }: PickleTensor): FileDType | undefined => {
  const own = dtypes[dtype ?? storage.type];
  return storage.type === untyped || own === dtypes[storage.type] ? own : undefined;
};

/** Bytes of a storage; its size counts elements, or bytes where it has no type. */
export const bytesOfStorage = ({ type, size }: PickleStorage): number =>
  type === untyped ? size : size * bytesOfDType(dtypes[type]!);
