import type { Field } from './mutate.js';

/** Size of the argument of pickle's opcodes, in bytes. The arguments of X and LONG1 are lengths of what follows. */
const ARGUMENTS: Record<number, Field['bytes']> = { 0x58: 4, 0x4a: 4, 0x8a: 1, 0x80: 1 };

/** The opcodes of the pickles between two offsets, and their arguments. */
export function pickleFields(bytes: Buffer, start: number, end: number): Field[] {
  const fields: Field[] = [];
  for (let at = start; at < end;) {
    const opcode = bytes[at]!;
    fields.push({ at, bytes: 1, endian: 'little' });
    const size = ARGUMENTS[opcode];
    if (size) fields.push({ at: at + 1, bytes: size, endian: 'little' });
    at += 1 + (size ?? 0);
    if (opcode === 0x58) at += bytes.readUInt32LE(at - 4);
    if (opcode === 0x8a) at += bytes[at - 1]!;
    // Two lines: module and name.
    if (opcode === 0x63) at = bytes.indexOf(0x0a, bytes.indexOf(0x0a, at) + 1) + 1;
  }
  return fields;
}

/** Offsets of the numbers of two and of four bytes in zip's records, by signature (APPNOTE.TXT 4.3.7, 4.3.12, 4.3.16). */
const RECORDS: Record<string, { two: number[]; four: number[] }> = {
  'PK\u0003\u0004': { two: [6, 8, 26, 28], four: [14, 18, 22] },
  'PK\u0001\u0002': { two: [8, 10, 28, 30, 32], four: [16, 20, 24, 42] },
  'PK\u0005\u0006': { two: [4, 6, 8, 10, 20], four: [12, 16] },
};

/** The numbers in all records of a zip archive. */
export function zipFields(bytes: Buffer): Field[] {
  const fields: Field[] = [];
  for (const [signature, { two, four }] of Object.entries(RECORDS)) {
    const next = (from: number) => bytes.indexOf(signature, from, 'latin1');
    for (let at = next(0); at >= 0; at = next(at + 4)) {
      for (const offset of two) fields.push({ at: at + offset, bytes: 2, endian: 'little' });
      for (const offset of four) fields.push({ at: at + offset, bytes: 4, endian: 'little' });
    }
  }
  return fields;
}
