import type { Random } from '../support/random.js';

/** One field of an encoded message. */
interface WireField {
  number: number;
  /** 0: varint, 1: eight bytes, 2: bytes of any length, 5: four bytes. */
  type: number;
  varint: bigint;
  payload: Buffer;
}

const VARINTS = [0n, 1n, 2n, 7n, 127n, 128n, 65_535n, 1n << 31n, (1n << 32n) - 1n, 1n << 63n, (1n << 64n) - 1n];

/** A message in which fields, at any depth, are removed, repeated, nested, or have another number or value. */
export function mutateMessage(bytes: Buffer, random: Random): Buffer {
  let mutant = bytes;
  for (let n = random.whole(1, 3); n > 0; n--) mutant = mutateOnce(mutant, random);
  return mutant;
}

function mutateOnce(bytes: Buffer, random: Random): Buffer {
  const fields = parse(bytes);
  const at = random.whole(0, (fields?.length ?? 0) - 1);
  const field = fields?.[at];
  if (!fields || !field) return bytes;
  const isMessage = field.type === 2 && field.payload.length > 1 && parse(field.payload) !== undefined;
  if (isMessage && random.chance(0.85)) field.payload = mutateOnce(field.payload, random);
  else change(fields, at, field, random);
  return Buffer.concat(fields.map(encode));
}

function change(fields: WireField[], at: number, field: WireField, random: Random): void {
  const other = random.pick(fields);
  const kind = random.whole(0, 7);
  if (kind === 0) fields.splice(at, 1);
  else if (kind === 1) fields.splice(at, 0, field);
  else if (kind === 2) fields.splice(at, 0, ...Array.from({ length: random.whole(2, 50) }, () => field));
  else if (kind === 3) field.number = random.whole(1, 25);
  else if (kind === 4) field.payload = nested(field, random);
  else if (kind === 5) [field.payload, field.varint] = [other.payload, other.varint];
  else {
    field.varint = random.pick(VARINTS);
    if (field.type !== 0) field.payload = otherBytes(field.payload, random);
  }
}

/** The field nested in itself, sometimes deeper than any reader should follow. */
function nested(field: WireField, random: Random): Buffer {
  let payload = field.payload;
  const depth = random.pick([1, 3, 99, 2000]);
  for (let n = 0; n < depth; n++) payload = encode({ ...field, type: 2, payload });
  return field.type === 2 ? payload : field.payload;
}

function otherBytes(payload: Buffer, random: Random): Buffer {
  const bytes = Buffer.from(payload);
  const at = random.whole(0, Math.max(0, bytes.length - 1));
  const kind = random.whole(0, 3);
  if (kind === 0) return bytes.subarray(0, at);
  if (kind === 1) return Buffer.concat([bytes, bytes]);
  if (kind === 2) bytes.fill(0xff, at, Math.min(bytes.length, at + 8));
  else if (bytes.length > 0) bytes[at] = random.whole(0, 255);
  return bytes;
}

/** undefined if the bytes are not a message. */
function parse(bytes: Buffer): WireField[] | undefined {
  const fields: WireField[] = [];
  for (let at = 0; at < bytes.length;) {
    const key = readVarint(bytes, at);
    if (!key) return undefined;
    const [number, type] = [Number(key.value >> 3n), Number(key.value & 7n)];
    const value = type === 0 || type === 2 ? readVarint(bytes, key.end) : { value: 0n, end: key.end };
    if (!value || number === 0 || ![0, 1, 2, 5].includes(type)) return undefined;
    const length = { 0: 0, 1: 8, 2: Number(value.value), 5: 4 }[type] ?? 0;
    if (value.end + length > bytes.length) return undefined;
    const payload = bytes.subarray(value.end, value.end + length);
    fields.push({ number, type, varint: value.value, payload });
    at = value.end + length;
  }
  return fields;
}

function readVarint(bytes: Buffer, start: number): { value: bigint; end: number } | undefined {
  let value = 0n;
  for (let i = 0; i < 10; i++) {
    const byte = bytes[start + i];
    if (byte === undefined) return undefined;
    value |= BigInt(byte & 0x7f) << BigInt(7 * i);
    if (byte < 0x80) return { value, end: start + i + 1 };
  }
  return undefined;
}

function encode({ number, type, varint, payload }: WireField): Buffer {
  const key = writeVarint(BigInt(8 * number + type));
  if (type === 0) return Buffer.concat([key, writeVarint(varint)]);
  return Buffer.concat([key, ...(type === 2 ? [writeVarint(BigInt(payload.length))] : []), payload]);
}

function writeVarint(value: bigint): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 0x80n; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80);
  return Buffer.from([...bytes, Number(rest)]);
}
