import type { Dtype } from '../../safetensors/index.js';

/** What a pickle of a state_dict can hold. */
export type PickleValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | PickleValue[]
  | PickleDict
  | Global
  | StorageReference
  | TensorReference
  | typeof MARK;

/** What MARK pushes on the stack. */
export const MARK = Symbol('mark');

/** A dict or an OrderedDict. A Map, so that no key means anything to JavaScript. */
export class PickleDict {
  readonly entries = new Map<PickleValue, PickleValue>();

  constructor(readonly ordered: boolean) {}
}

/** A name of Python that the allow-list has. */
export class Global {
  constructor(readonly name: string) {}
}

/** Names a block of bytes that lies elsewhere in the file. */
export class StorageReference {
  constructor(
    readonly key: string,
    readonly dtype: Dtype,
    /** Elements that the pickle says it has. */
    readonly length: number,
  ) {}
}

/** A view of a storage: element (i, j, …) lies at offset + i · strides[0] + j · strides[1] + … */
export class TensorReference {
  constructor(
    readonly storage: StorageReference,
    readonly offset: number,
    readonly shape: readonly number[],
    readonly strides: readonly number[],
  ) {}
}
