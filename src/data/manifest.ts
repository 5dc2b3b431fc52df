import { createReadStream } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { parse } from 'csv-parse';
import { LastlayerError, messageOf } from '../util/errors.js';
import { isInRange, requirement } from '../util/validate.js';
import { type Dataset, type DatasetEntry, listedDataset, type Split, splitNamed } from './dataset.js';

type Fields = Record<string, unknown>;

/**
 * Opens a manifest: a CSV file with a header, or JSON Lines. All columns but the path are optional:
 * - `path`: relative to the manifest's own folder, absolute, or an http(s) URL
 * - `label`: the picture's class; or `labels`: any number of them, as a list or as text separated by `;`, empty for none
 * - `split`: train, val or test
 * - `group`: pictures of one group, such as one subject, stay on one side of every split
 * - `weight`: how much the picture counts in training, above 0; 1 by default
 *
 * `entries` throws a LastlayerError that names the line if a row is wrong or repeats a path. To find repeats it keeps all
 * paths in memory.
 */
export function openManifest(path: string, format: 'csv' | 'jsonl'): Dataset {
  return format === 'csv'
    ? listedDataset(path, 'CSV manifest', () => entriesOf(path, csvRows(path)))
    : listedDataset(path, 'JSONL manifest', () => entriesOf(path, jsonRows(path)));
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
    if (row.trim() !== '') yield [line, parseObject(row, `${path}, line ${line}`)];
  }
}

function parseObject(row: string, place: string): Fields {
  let value: unknown;
  try {
    value = JSON.parse(row);
  } catch (error) {
    throw new LastlayerError(`${place}: ${messageOf(error)}.`);
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Fields;
  throw new LastlayerError(`${place}: an object such as {"path": "a.jpg"} is expected, not ${row}.`);
}

async function* entriesOf(manifest: string, rows: AsyncIterable<[number, Fields]>): AsyncGenerator<DatasetEntry> {
  const lineOf = new Map<string, number>();
  for await (const [line, fields] of rows) {
    const place = `${manifest}, line ${line}`;
    const entry = toEntry(fields, manifest, place);
    const earlier = lineOf.get(entry.path);
    if (earlier !== undefined) {
      throw new LastlayerError(`${place}: ${entry.path} is already listed on line ${earlier}.`);
    }
    lineOf.set(entry.path, line);
    yield entry;
  }
}

/** @param place named in errors */
function toEntry(fields: Fields, manifest: string, place: string): DatasetEntry {
  const path = textOf(fields, 'path', place);
  if (path === undefined) {
    throw new LastlayerError(
      `${place}: no path. A manifest has the columns path, label or labels, split, group and weight; this row has ` +
        `${Object.keys(fields).join(', ') || 'none'}.`,
    );
  }
  return {
    ...locate(path, manifest, place),
    ...labelsOf(textOf(fields, 'label', place), fields['labels'], place),
    split: splitOf(textOf(fields, 'split', place), place),
    group: textOf(fields, 'group', place),
    weight: weightOf(textOf(fields, 'weight', place), place),
  };
}

/** A field's text; undefined if it is absent, null or empty. A number becomes its digits. */
function textOf(fields: Fields, name: string, place: string): string | undefined {
  const value = fields[name];
  if (value === undefined || value === null || value === '') return undefined;
  if (typeof value === 'string') return value;
  if (typeof value === 'number') return String(value);
  throw new LastlayerError(`${place}: ${name} is ${JSON.stringify(value)}, but text is expected.`);
}

function locate(path: string, manifest: string, place: string): DatasetEntry {
  const [, scheme] = /^([a-z][a-z0-9+.-]+):\/\//i.exec(path) ?? [];
  if (scheme === undefined) return { path: resolve(dirname(manifest), path) };
  if (/^https?$/i.test(scheme) && URL.canParse(path)) return { path, source: { kind: 'url', url: path } };
  throw new LastlayerError(
    `${place}: ${path} cannot be fetched. Write the path of a file, or http:// or https:// (for an object store: a presigned URL).`,
  );
}

/**
 * What a row says of its picture: one label, a list of labels that may be empty, or nothing.
 * @param label undefined if the column is absent or empty
 * @param labels a list, or text separated by `;`
 */
function labelsOf(label: string | undefined, labels: unknown, place: string): Pick<DatasetEntry, 'label' | 'labels'> {
  if (label !== undefined) {
    // A CSV file with both columns leaves one of them empty.
    if (labels !== undefined && labels !== null && labels !== '') {
      throw new LastlayerError(
        `${place}: there are both label, ${JSON.stringify(label)}, and labels, ${JSON.stringify(labels)}. Write label where ` +
          `a picture has exactly one class, and labels where it can show any number of things.`,
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
      `${place}: labels is ${JSON.stringify(labels)}, but a list such as ["cat", "dog"] is expected.`,
    );
  }
  return labels.map((label: unknown) => {
    if (typeof label === 'number') return String(label);
    if (typeof label === 'string' && label !== '') return withoutNul(label, place);
    throw new LastlayerError(
      `${place}: labels holds ${JSON.stringify(label)}, but text is expected. Write an empty list, [], for a picture without labels.`,
    );
  });
}

function withoutNul(label: string, place: string): string {
  if (!label.includes('\0')) return label;
  throw new LastlayerError(`${place}: the label ${JSON.stringify(label)} holds a NUL character. Remove it.`);
}

function splitOf(name: string | undefined, place: string): Split | undefined {
  const split = name === undefined ? undefined : splitNamed(name);
  if (name === undefined || split) return split;
  throw new LastlayerError(`${place}: unknown split "${name}". Use train, val or test.`);
}

function weightOf(text: string | undefined, place: string): number | undefined {
  if (text === undefined) return undefined;
  const range = { above: 0 };
  if (isInRange(Number(text), range)) return Number(text);
  throw new LastlayerError(
    `${place}: the weight is "${text}". ${requirement(range)} Leave the row out if the picture is not to count.`,
  );
}

/** A line of a CSV file (RFC 4180), with its line feed. */
export function csvLine(cells: readonly (string | null | undefined)[]): string {
  return `${cells.map((cell) => quoted(cell ?? '')).join(',')}\n`;
}

function quoted(cell: string): string {
  return /[",\r\n]|^\s|\s$/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell;
}
