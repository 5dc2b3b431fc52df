import { BUNDLED_PATH, type Backbone } from '../backbone/index.js';
import { UsageError } from '../errors.js';

/** For --precision fp32. @throws {UsageError} where the network has no float32 weights */
export function refuseIntegers({ quantized, id, source }: Backbone): void {
  if (!quantized) return;
  const instead =
    source === BUNDLED_PATH
      ? '`npm run fetch-model` gets a float32 network.'
      : 'Name the float32 network that it was made from with --model.';
  throw new UsageError(
    `--precision is fp32, but ${id} computes in int8 and has no other weights. Leave --precision out, or: ${instead}`,
  );
}
