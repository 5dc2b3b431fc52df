/**
 * The metadata of an .onnx file, which onnxruntime-web does not give: field 14 of the ModelProto, entries with a key (1) and a
 * value (2). A protobuf field (protobuf.dev, "Encoding") begins with its number and wire type. All other fields are skipped,
 * so this is fast for models of any size.
 * @param {Uint8Array} bytes
 * @returns {Record<string, string>}
 */
export function readMetadata(bytes) {
  const metadata = {};
  for (const { field, content } of fieldsOf(bytes)) {
    if (field !== 14) continue;
    const entry = { 1: '', 2: '' };
    for (const part of fieldsOf(content)) entry[part.field] = new TextDecoder().decode(part.content);
    metadata[entry[1]] = entry[2];
  }
  return metadata;
}

/** The fields that have a length; numbers are skipped. */
function* fieldsOf(bytes) {
  let at = 0;
  const number = () => {
    let [value, factor] = [0, 1];
    let byte;
    do {
      byte = bytes[at++];
      value += (byte & 0x7f) * factor;
      factor *= 128;
    } while (byte & 0x80);
    return value;
  };
  while (at < bytes.length) {
    const tag = number();
    const kind = tag & 7;
    if (kind === 0) number();
    else if (kind === 1 || kind === 5) at += kind === 1 ? 8 : 4;
    else if (kind === 2) {
      const length = number();
      yield { field: tag >>> 3, content: bytes.subarray(at, at + length) };
      at += length;
    } else throw new Error('This is not an .onnx file.');
  }
}
