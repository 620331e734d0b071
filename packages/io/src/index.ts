export type { AdapterHubModel } from './adapter/adapter-hub-config.ts';
export {
  type AdapterHubHead,
  type AdapterHubHeadConfig,
  type AdapterHubHeadData,
  headConfigFile,
  readAdapterHubHead,
  writeAdapterHubHead,
} from './adapter/adapter-hub-head.ts';
export type { AdapterFileConfig, AdapterLayout } from './adapter/files.ts';
export type { AdapterPart, NamedAdapter } from './adapter/parts.ts';
export { type Adapter, readAdapter, readAdapters } from './adapter/read.ts';
export type { AdapterTensor, AdapterTensorData } from './adapter/tensors.ts';
export { writeAdapter, writeAdapterHub, writeAdapters } from './adapter/write.ts';
export {
  type Chat,
  type ChatMessage,
  type ChatOptions,
  type ChatTokens,
  type LoadChatOptions,
  loadChat,
} from './chat/chat.ts';
export { openModelWeights } from './checkpoint.ts';
export { blobFiles, type NamedBlob } from './files/blob-files.ts';
export { detached } from './files/detached.ts';
export { type DirectoryHandle, directoryFiles } from './files/directory-files.ts';
export type { FileContent } from './files/file-content.ts';
export { joinPath } from './files/file-path.ts';
export type { ByteRange, FileIn, FilePlace, Files, OpenFile, Place, WritableFiles } from './files/files.ts';
export { fromNode, isNode } from './files/from-node.ts';
export { memoryFiles } from './files/memory-files.ts';
export { opfsFiles } from './files/opfs-files.ts';
export { fileAt, filesAt, nameOf, writable } from './files/place.ts';
export { sha256 } from './files/sha256.ts';
export { steady } from './files/steady.ts';
export { urlFiles } from './files/url-files.ts';
export type { UrlOptions } from './files/url-request.ts';
export { writeDirAtomic, writeFileAtomic } from './files/write-disk.ts';
export { bfloat16ToFloat32, float32ToBfloat16, float32ToHalf, halfToFloat32 } from './half.ts';
export type { HubOptions, HubProgress } from './hub/hub-files.ts';
export { hubFiles, pushFiles } from './hub/hub-on-demand.ts';
export { type HubPlace, isHub, parseHub } from './hub/hub-place.ts';
export type { Pushed, PushOptions } from './hub/push.ts';
export { isObject, type JsonObject, type JsonValue } from './json.ts';
export { type Pattern, type PatternMatch, pythonPattern } from './pattern.ts';
export { readJson, readJsonObject } from './read-json.ts';
export { listed } from './report.ts';
export {
  bytesOfArray,
  bytesOfDType,
  type FileArray,
  type FileArrays,
  type FileDType,
  type FileTensor,
} from './safetensors/dtype.ts';
export type { Header, TensorInfo } from './safetensors/header.ts';
export { openSafetensors } from './safetensors/open.ts';
export { sameTensor, type TensorReader } from './safetensors/reader.ts';
export { encodeSafetensors, type WriteData, type WriteTensor, writeSafetensors } from './safetensors/write.ts';
export { type DecodeStream, decodeStream } from './tokenizer/decode-stream.ts';
export { sentencePieceDecoder } from './tokenizer/sentence-piece.ts';
export { type EncodeOptions, loadTokenizer, type PlaceInIds, type Tokenizer, type TokenPair } from './tokenizer.ts';
export { openTorch } from './torch/open.ts';
