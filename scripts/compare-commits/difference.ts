import { readFile } from 'node:fs/promises';
import { extname } from 'node:path';
import { fromBinary } from '@bufbuild/protobuf';
import { parse } from 'csv-parse/sync';
import { parquetReadObjects } from 'hyparquet';
import { ModelProtoSchema } from 'onnx-buf';
import { readSafetensors } from '../../src/formats/safetensors.js';

/**
 * What was renamed on purpose, the old name and the new one, or null where it was dropped: fields, keys of metadata, and parts
 * of the names of an ONNX file's tensors (`trunk` in `trunk.conv1.weight`).
 */
const RENAMED: Readonly<Record<string, string | null>> = {
  judgedBy: 'validatedOn',
  judgedOn: 'evaluatedOn',
  leftOut: 'skipped',
  trunk: 'backbone',
  unseen: null,
};

/** Texts that were reworded on purpose: only their numbers are compared. */
const REWORDED = new Set(['detail']);

/**
 * Fields that differ from run to run, from version to version (a head's own format version too), or, such as the bytes of a file
 * that is compared itself, with names.
 */
const IGNORED = new Set(['created', 'lastlayer', 'version', 'seconds', 'speedRatio', 'bytes']);

/** Where two results differ first, and by what. */
export interface Difference {
  /** Such as `metrics.perClass[2].f1`. */
  field: string;
  base: unknown;
  head: unknown;
}

/**
 * What a file holds: a model, a head, JSON, or the rows of a table, sorted by path, as the order of the rows in a store does
 * not count. The file of an .npy's rows is the .csv of the same name.
 */
export async function contentOf(file: string): Promise<unknown> {
  const bytes = await readFile(file);
  switch (extname(file)) {
    case '.onnx': {
      const { metadataProps, graph, ...model } = fromBinary(ModelProtoSchema, bytes);
      const metadata = fromMetadata(metadataProps.map(({ key, value }) => [key, value]));
      return { ...model, metadata, graph: withNewNames(graph) };
    }
    case '.safetensors': {
      const { tensors, metadata } = readSafetensors(bytes, file);
      return { tensors: Object.fromEntries(tensors), metadata: fromMetadata(Object.entries(metadata)) };
    }
    case '.npy': {
      const rows = await rowsOf(file.replace(/npy$/, 'csv'));
      const values = bytes.subarray(10 + bytes.readUInt16LE(8));
      const size = values.length / rows.length;
      return byPath(rows.map(({ path }, i) => ({ path, embedding: floats(values.subarray(i * size), size) })));
    }
    case '.csv':
      return byPath(await rowsOf(file));
    case '.parquet':
      return byPath(await parquetReadObjects({ file: new Uint8Array(bytes).buffer }));
    default: {
      const json: unknown = JSON.parse(bytes.toString());
      return isObject(json) && Array.isArray(json['rows']) ? { ...json, rows: byPath(json['rows']) } : json;
    }
  }
}

/**
 * The first difference between two results; numbers are compared to the bit.
 * @param folders paths that are another folder's in one of the two, with the name to take for both
 */
export function firstDifference(
  base: unknown,
  head: unknown,
  folders: readonly (readonly [path: string, name: string])[] = [],
  field = '',
): Difference | undefined {
  if (typeof base === 'string' && typeof head === 'string') {
    const named = (text: string) => folders.reduce((changed, [path, name]) => changed.replaceAll(path, name), text);
    const counted = REWORDED.has(field.split('.').at(-1) ?? '') ? numbersIn : named;
    return counted(base) === counted(head) ? undefined : { field, base, head };
  }
  if (isList(base) && isList(head)) {
    for (let i = 0; i < Math.min(base.length, head.length); i++) {
      const difference = firstDifference(base[i], head[i], folders, `${field}[${i}]`);
      if (difference) return difference;
    }
    if (base.length === head.length) return undefined;
    return { field: `${field}.length`, base: base.length, head: head.length };
  }
  if (isObject(base) && isObject(head)) {
    const [a, b] = [fieldsOf(base), fieldsOf(head)];
    for (const key of new Set([...a.keys(), ...b.keys()])) {
      const name = field === '' ? key : `${field}.${key}`;
      const difference = firstDifference(a.get(key), b.get(key), folders, name);
      if (difference) return difference;
    }
    return undefined;
  }
  return Object.is(base, head) ? undefined : { field, base, head };
}

function numbersIn(text: string): string {
  return (text.match(/\d+(\.\d+)?/g) ?? []).join();
}

/** The fields that count, by their new names. */
function fieldsOf(object: Record<string, unknown>): Map<string, unknown> {
  return new Map(
    Object.entries(object)
      .filter(([key]) => !IGNORED.has(key) && RENAMED[key] !== null)
      .map(([key, value]) => [RENAMED[key] ?? key, value]),
  );
}

/** A graph with the new names of its tensors. */
function withNewNames(value: unknown): unknown {
  if (typeof value === 'string') return value.replaceAll(/[^./]+/g, (part) => RENAMED[part] ?? part);
  if (Array.isArray(value)) return value.map(withNewNames);
  if (!isObject(value) || isList(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, withNewNames(entry)]));
}

/** Metadata hold text alone; what is JSON is read, so that a difference is named by its field. */
function fromMetadata(entries: readonly (readonly [string, string])[]): Record<string, unknown> {
  return Object.fromEntries(
    entries.map(([key, text]): [string, unknown] => {
      try {
        return [key, JSON.parse(text)];
      } catch {
        return [key, text];
      }
    }),
  );
}

type Row = Record<string, unknown>;

async function rowsOf(csv: string): Promise<Row[]> {
  return parse(await readFile(csv, 'utf8'), { columns: true });
}

/** Rows by path, which name them in the output too. */
function byPath(rows: readonly Row[]): Record<string, Row> {
  return Object.fromEntries(rows.map((row) => [String(row['path']), row]));
}

function floats(bytes: Buffer, size: number): Float32Array {
  return new Float32Array(new Uint8Array(bytes.subarray(0, size)).buffer);
}

type List = readonly unknown[] | Float32Array | Uint8Array;

function isList(value: unknown): value is List {
  return Array.isArray(value) || (ArrayBuffer.isView(value) && !(value instanceof DataView));
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
