import { createReadStream } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { parse } from 'csv-parse';
import { LastlayerError, messageOf } from '../util/errors.js';
import { type Dataset, type DatasetEntry, splitNamed } from './dataset.js';

type Fields = Record<string, unknown>;

/**
 * Reads a manifest: a CSV file with a header, or JSON Lines, with `path` (relative to the manifest's own folder,
 * absolute, or an http(s) URL) and, optionally, `label` or `labels` (all that the picture shows: a list, or text with `;` between; an empty
 * one says that it shows none of them), `split` (train, val or test), `group` (pictures of one group, such as one subject,
 * are never both learnt from and judged by) and `weight` (how much the picture counts in training: above 0, default 1).
 *
 * `entries` throws a LastlayerError that names the line where a row has no path, an unknown split, a bad weight, both label
 * and labels or labels that are no texts, or a path that an earlier row has too; to know the latter it keeps the paths, so
 * memory does grow with the manifest itself.
 */
export function openManifest(path: string, format: 'csv' | 'jsonl'): Dataset {
  const entries = () => entriesOf(path, format === 'csv' ? csvRows(path) : jsonRows(path));
  let listed: Promise<Set<string>> | undefined;
  return {
    root: path,
    layout: format === 'csv' ? 'CSV manifest' : 'JSONL manifest',
    skipped: { count: 0, examples: [] },
    entries,
    contains: async (file) => (await (listed ??= pathsOf(entries()))).has(file),
  };
}

async function pathsOf(entries: AsyncIterable<DatasetEntry>): Promise<Set<string>> {
  const paths = new Set<string>();
  for await (const { path } of entries) paths.add(path);
  return paths;
}

async function* entriesOf(
  manifest: string,
  rows: AsyncIterable<[number, Fields]>,
): AsyncGenerator<DatasetEntry> {
  const lineOf = new Map<string, number>();
  for await (const [line, fields] of rows) {
    const entry = toEntry(fields, manifest, line);
    const before = lineOf.get(entry.path);
    if (before !== undefined) {
      throw new LastlayerError(
        `${manifest}, line ${line}: ${entry.path} is listed on line ${before} already.`,
      );
    }
    lineOf.set(entry.path, line);
    yield entry;
  }
}

function toEntry(fields: Fields, manifest: string, line: number): DatasetEntry {
  const path = text(fields, 'path', manifest, line);
  if (path === undefined) {
    throw new LastlayerError(
      `${manifest}, line ${line}: no path. A manifest has the columns path, label or labels, split, group and weight; this row has ` +
        `${Object.keys(fields).join(', ') || 'none'}.`,
    );
  }
  const entry = locate(path, manifest, line);
  const label = text(fields, 'label', manifest, line);
  Object.assign(entry, readLabels(label, fields['labels'], `${manifest}, line ${line}`));
  const splitName = text(fields, 'split', manifest, line);
  if (splitName !== undefined) {
    const split = splitNamed(splitName);
    if (!split) {
      throw new LastlayerError(
        `${manifest}, line ${line}: the split is "${splitName}"; write train, val or test.`,
      );
    }
    entry.split = split;
  }
  const group = text(fields, 'group', manifest, line);
  if (group !== undefined) entry.group = group;
  const weight = text(fields, 'weight', manifest, line);
  if (weight !== undefined) entry.weight = positive(weight, manifest, line);
  return entry;
}

/** A file, or a picture behind a URL. */
function locate(path: string, manifest: string, line: number): DatasetEntry {
  const [, scheme] = /^([a-z][a-z0-9+.-]+):\/\//i.exec(path) ?? [];
  if (scheme === undefined) return { path: resolve(dirname(manifest), path) };
  if (/^https?$/i.test(scheme) && URL.canParse(path)) return { path, source: { kind: 'url', url: path } };
  throw new LastlayerError(
    `${manifest}, line ${line}: ${path} cannot be fetched. Write http:// or https:// (of an object store: a presigned URL), or the ` +
      `path of a file.`,
  );
}

function positive(weight: string, manifest: string, line: number): number {
  const value = Number(weight);
  if (Number.isFinite(value) && value > 0) return value;
  throw new LastlayerError(
    `${manifest}, line ${line}: the weight is "${weight}". It must be a number above 0. Leave the row out if the picture ` +
      `is not to count.`,
  );
}

/** A field's text; undefined where it is absent, null or empty. Numbers serve as labels as they are written. */
function text(fields: Fields, name: string, manifest: string, line: number): string | undefined {
  const value = fields[name];
  if (value === undefined || value === null || value === '') return undefined;
  if (typeof value === 'string') return value;
  if (typeof value === 'number') return String(value);
  throw new LastlayerError(
    `${manifest}, line ${line}: ${name} is ${JSON.stringify(value)} where text is expected.`,
  );
}

async function* csvRows(path: string): AsyncGenerator<[number, Fields]> {
  const parser = parse({ columns: true, bom: true, skip_empty_lines: true, trim: true, info: true });
  const source = createReadStream(path);
  source.on('error', (error) => parser.destroy(error));
  try {
    for await (const { record, info } of source.pipe(parser) as AsyncIterable<{
      record: Fields;
      info: { lines: number };
    }>) {
      yield [info.lines, record];
    }
  } catch (error) {
    throw error instanceof LastlayerError ? error : new LastlayerError(`${path}: ${messageOf(error)}.`);
  } finally {
    source.destroy();
  }
}

async function* jsonRows(path: string): AsyncGenerator<[number, Fields]> {
  let line = 0;
  for await (const row of createInterface({ input: createReadStream(path), crlfDelay: Infinity })) {
    line++;
    if (row.trim() !== '') yield [line, parseObject(row, path, line)];
  }
}

function parseObject(row: string, path: string, line: number): Fields {
  let value: unknown;
  try {
    value = JSON.parse(row);
  } catch (error) {
    throw new LastlayerError(`${path}, line ${line}: ${messageOf(error)}.`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new LastlayerError(
      `${path}, line ${line}: an object such as {"path": "a.jpg"} is expected, not ${row}.`,
    );
  }
  return value as Fields;
}

/**
 * What a row of a manifest says of its picture: one label, a list of labels that may be empty, or nothing.
 * @param label the column `label`, undefined where it is absent or empty
 * @param labels the column `labels` as it was read: a list, or text with `;` between
 * @param place named in errors
 * @throws {LastlayerError} where the row has both, or a label is no text, empty in a list, or holds a NUL
 */
function readLabels(
  label: string | undefined,
  labels: unknown,
  place: string,
): Pick<DatasetEntry, 'label' | 'labels'> {
  if (label !== undefined) {
    // A CSV file that has both columns leaves one of them empty.
    if (labels !== undefined && labels !== null && labels !== '') {
      throw new LastlayerError(
        `${place}: there are both label, ${JSON.stringify(label)}, and labels, ${JSON.stringify(labels)}. Write label where ` +
          `a picture is of exactly one class, and labels where it shows any number of things.`,
      );
    }
    return { label: withoutNul(label, place) };
  }
  if (labels === undefined || labels === null) return {};
  return { labels: [...new Set(listOf(labels, place))].sort() };
}

function listOf(labels: unknown, place: string): string[] {
  if (typeof labels === 'string') {
    const texts = labels.split(';').map((text) => text.trim());
    return texts.filter((text) => text !== '').map((text) => withoutNul(text, place));
  }
  if (!Array.isArray(labels)) {
    throw new LastlayerError(
      `${place}: labels is ${JSON.stringify(labels)} where a list such as ["cat", "dog"] is expected.`,
    );
  }
  return labels.map((label: unknown) => {
    // Numbers serve as labels as they are written, as they do in the column label.
    if (typeof label === 'number') return String(label);
    if (typeof label === 'string' && label !== '') return withoutNul(label, place);
    throw new LastlayerError(
      `${place}: labels holds ${JSON.stringify(label)} where text is expected. A picture that shows none of the labels has ` +
        `the empty list, [].`,
    );
  });
}

function withoutNul(label: string, place: string): string {
  if (!label.includes('\0')) return label;
  throw new LastlayerError(
    `${place}: the label ${JSON.stringify(label)} holds a NUL character. Take it out of the name.`,
  );
}

/** A line of a manifest as CSV (RFC 4180), with its end. */
export function csvLine(cells: readonly (string | null | undefined)[]): string {
  return `${cells.map((cell) => quoted(cell ?? '')).join(',')}\n`;
}

function quoted(cell: string): string {
  return /[",\r\n]|^\s|\s$/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell;
}
