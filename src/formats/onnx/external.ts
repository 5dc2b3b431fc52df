import { dirname, isAbsolute, join, normalize, sep } from 'node:path';
import { clearField } from '@bufbuild/protobuf';
import { type ModelProto, type TensorProto, TensorProtoSchema } from 'onnx-buf';
import { LastlayerError, messageOf } from '../../util/errors.js';
import { readRegularFile } from '../../util/files.js';
import { isExternal, tensorsOf } from './model.js';

/** No model in one piece can be larger: protobuf's own limit. */
const MAX_BYTES = 2 ** 31 - 1;

/**
 * Reads the weights that a model keeps in other files into the model, which then is whole. They must be in its folder, or below.
 * @param file where the model is
 * @param path what to call it in errors
 * @returns whether there were any
 * @throws {LastlayerError} if one of these files is elsewhere, or cannot be read, or is too short
 */
export async function readExternalWeights(model: ModelProto, file: string, path: string): Promise<boolean> {
  const external = [...tensorsOf(model)].filter(isExternal);
  const contents = new Map<string, Buffer<ArrayBuffer>>();
  let total = 0;
  for (const tensor of external) {
    const { location, offset, length } = placeOf(tensor, path);
    const content = contents.get(location) ?? (await read(location, tensor, file, path));
    contents.set(location, content);
    const end = length === undefined ? content.length : offset + length;
    if (!(offset <= end && end <= content.length)) {
      throw new LastlayerError(
        `${path} keeps the weights of ${tensor.name} in ${location}, which ends before them, after ${content.length} bytes. ` +
          'Get that file again, whole.',
      );
    }
    total += end - offset;
    if (total > MAX_BYTES) {
      throw new LastlayerError(
        `${path} has weights of more than 2 GB in other files, which is too large for one model.`,
      );
    }
    tensor.rawData = content.subarray(offset, end);
    tensor.externalData = [];
    clearField(tensor, TensorProtoSchema.field.dataLocation);
  }
  return external.length > 0;
}

/** Where a tensor's bytes are (onnx.proto, external_data): without a length, up to the end of the file. */
function placeOf(
  { name, externalData }: TensorProto,
  path: string,
): { location: string; offset: number; length: number | undefined } {
  const {
    location = '',
    offset = '0',
    length,
  } = Object.fromEntries(externalData.map(({ key, value }) => [key, value]));
  const inside = normalize(location);
  const isBeside = location !== '' && !isAbsolute(inside) && inside.split(sep)[0] !== '..';
  if (isBeside && isSize(offset) && (length === undefined || isSize(length))) {
    return { location, offset: Number(offset), length: length === undefined ? undefined : Number(length) };
  }
  throw new LastlayerError(
    `${path} keeps the weights of ${name} in another file, ${JSON.stringify(location)}, which is not in its folder, or at a ` +
      `place that makes no sense. ${AS_ONE}`,
  );
}

const AS_ONE = 'In Python, onnx.save_model(onnx.load(path), new_path) saves the model as one file.';

function isSize(text: string): boolean {
  return /^\d{1,15}$/.test(text);
}

async function read(location: string, { name }: TensorProto, file: string, path: string): Promise<Buffer<ArrayBuffer>> {
  try {
    return await readRegularFile(join(dirname(file), location));
  } catch (error) {
    throw new LastlayerError(
      `${path} keeps the weights of ${name} in another file, ${location}, which cannot be read: ${messageOf(error)}. Put both ` +
        `files into one folder. ${AS_ONE}`,
    );
  }
}
