import { asCalled } from '../../invocation.js';
import type { Backbone } from '../backbone.js';
import { fileExists } from '../file-exists.js';
import { loadBackbone } from '../load.js';
import { readCard } from '../model-card.js';
import { int8Path, quantizeBackbone, type QuantizeOptions } from './quantize-backbone.js';
import { speedRatio } from './speed.js';

/**
 * The int8 trunk of a float32 one: the model that lies beside it, if it was made from this very one, else a new one,
 * which is written there. Where int8 turns out slower than float32 on this machine, the float32 trunk itself.
 * @param dataset what to calibrate a new model on: folder or manifest
 * @param options.onNotice told that a model is made, and that float32 is kept to
 * @throws as {@link quantizeBackbone} does
 */
export async function int8Backbone(
  float32: Backbone,
  dataset: string,
  options: Omit<QuantizeOptions, 'out'> = {},
): Promise<Backbone> {
  const { onNotice, signal } = options;
  if (float32.quantized) return float32;
  const int8 = (await existingInt8(float32, options)) ?? (await make(float32, dataset, options));
  const ratio = await speedRatio(int8, float32, signal && { signal });
  if (ratio >= 1) {
    await float32.release();
    return int8;
  }
  onNotice?.(
    `int8 is slower than float32 here (${ratio.toFixed(2)} times its speed), so float32 it is: ${float32.id}.`,
  );
  await int8.release();
  return float32;
}

/** The int8 model that lies beside a float32 one and was made from it; undefined where there is none. */
export async function existingInt8(
  { source, sha256 }: Backbone,
  { session }: Pick<QuantizeOptions, 'session'>,
): Promise<Backbone | undefined> {
  const model = int8Path(source);
  const card = await readCard(model);
  if (card?.sourceSha256 !== sha256 || !(await fileExists(model))) return undefined;
  return loadBackbone({ ...session, model });
}

async function make(float32: Backbone, dataset: string, options: QuantizeOptions): Promise<Backbone> {
  const { source, id } = float32;
  options.onNotice?.(
    `There is no int8 model of ${id} at ${int8Path(source)}; making it, calibrated on ${dataset}.`,
  );
  const { backbone, card } = await quantizeBackbone(float32, dataset, options);
  options.onNotice?.(asCalled(`Made ${card.id}. \`npm run quantize\` tells how close to ${id} it is.`));
  return backbone;
}
