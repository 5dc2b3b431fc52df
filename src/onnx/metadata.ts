import { create } from '@bufbuild/protobuf';
import { StringStringEntryProtoSchema, type ModelProto } from 'onnx-buf';

/** The same model with an entry of its metadata set. */
export function withMetadata(model: ModelProto, key: string, value: string): ModelProto {
  const others = model.metadataProps.filter((entry) => entry.key !== key);
  return { ...model, metadataProps: [...others, create(StringStringEntryProtoSchema, { key, value })] };
}

/** An entry of a model's metadata; undefined where there is none of that key. */
export function metadataOf({ metadataProps }: ModelProto, key: string): string | undefined {
  return metadataProps.find((entry) => entry.key === key)?.value;
}

/** The version of the default operator set that a model is written for; 0 where it says none. */
export function opsetOf({ opsetImport }: ModelProto): number {
  return Number(opsetImport.find(({ domain }) => domain === '' || domain === 'ai.onnx')?.version ?? 0);
}
