/** The element types that checkpoints use, by their names in safetensors. */
const BYTES = { F64: 8, F32: 4, F16: 2, BF16: 2, I64: 8, I32: 4, I16: 2, I8: 1, U8: 1, BOOL: 1 } as const;

export type Dtype = keyof typeof BYTES;

export function isDtype(name: unknown): name is Dtype {
  return typeof name === 'string' && Object.hasOwn(BYTES, name);
}

export function bytesPerElement(dtype: Dtype): number {
  return BYTES[dtype];
}

/** Little-endian values of any type as float32, each rounded to the nearest. */
export function toFloat32(bytes: Uint8Array, dtype: Dtype): Float32Array {
  // A copy is aligned, whatever the bytes' place in their file. (A Buffer's slice would be none.)
  if (dtype === 'F32') return new Float32Array(new Uint8Array(bytes).buffer);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const size = BYTES[dtype];
  return Float32Array.from({ length: bytes.length / size }, (_, i) => readNumber(view, i * size, dtype));
}

function readNumber(view: DataView, offset: number, dtype: Dtype): number {
  switch (dtype) {
    case 'F64':
      return view.getFloat64(offset, true);
    case 'F32':
      return view.getFloat32(offset, true);
    case 'F16':
      return halfToNumber(view.getUint16(offset, true));
    case 'BF16':
      return bfloat16ToNumber(view.getUint16(offset, true));
    case 'I64':
      return Number(view.getBigInt64(offset, true));
    case 'I32':
      return view.getInt32(offset, true);
    case 'I16':
      return view.getInt16(offset, true);
    case 'I8':
      return view.getInt8(offset);
    case 'U8':
    case 'BOOL':
      return view.getUint8(offset);
  }
}

/** IEEE 754 binary16: 1 sign bit, 5 bits of exponent, 10 of fraction. */
function halfToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 0x1f) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

const scratch = new DataView(new ArrayBuffer(4));

/** bfloat16 is the upper half of a float32. */
function bfloat16ToNumber(bits: number): number {
  scratch.setUint32(0, bits << 16);
  return scratch.getFloat32(0);
}
