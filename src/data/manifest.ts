import { dirname, resolve, sep } from 'node:path';
import { LastlayerError } from '../util/errors.js';
import { fileExists } from '../util/files.js';
import { isInRange, requirement } from '../util/validate.js';
import {
  type Dataset,
  type DatasetEntry,
  labelText,
  listedDataset,
  remark,
  type SkippedFiles,
  type Split,
  splitNamed,
} from './dataset.js';
import { csvRows, type Fields, jsonRows } from './manifest-rows.js';

/**
 * Opens a manifest in UTF-8: a CSV file with a header, also with semicolons or tabs, or JSON Lines. The case of column names
 * does not matter. All columns but the path are optional:
 * - `path`: relative to the manifest's own folder, absolute, or an http(s) URL; with `\` for `/` where only that file exists
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
    ? listedDataset(path, 'CSV manifest', (skipped) => entriesOf(path, csvRows(path), skipped))
    : listedDataset(path, 'JSONL manifest', (skipped) => entriesOf(path, jsonRows(path), skipped));
}

async function* entriesOf(
  manifest: string,
  rows: AsyncIterable<[number, Fields]>,
  skipped: SkippedFiles,
): AsyncGenerator<DatasetEntry> {
  const lineOf = new Map<string, number>();
  const columns = new Columns(manifest, skipped);
  let [anySemicolon, doubtful]: [boolean, string | undefined] = [false, undefined];
  const turned = { count: 0, example: '' };
  for await (const [line, row] of rows) {
    const place = `${manifest}, line ${line}`;
    const fields = columns.read(row, place);
    const entry = toEntry(fields, Object.keys(row), manifest, place);
    const written = String(fields['path']);
    const path = entry.source ? undefined : await withSlashes(written, manifest);
    if (path !== undefined) {
      if (turned.count++ === 0) turned.example = written;
      entry.path = path;
    }
    const earlier = lineOf.get(entry.path);
    if (earlier !== undefined) {
      throw new LastlayerError(`${place}: ${entry.path} is already listed on line ${earlier}.`);
    }
    lineOf.set(entry.path, line);
    if (typeof fields['labels'] === 'string') {
      if (fields['labels'].includes(';')) anySemicolon = true;
      else doubtful ??= entry.labels?.find((label) => /[|,]/.test(label));
    }
    yield entry;
  }
  if (turned.count > 0) {
    remark(
      skipped,
      `${manifest}: \\ in paths was read as /, as Windows means it, in ${turned.count} of ${lineOf.size} rows (the first is ` +
        `${turned.example}).`,
    );
  }
  if (doubtful !== undefined && !anySemicolon) {
    remark(
      skipped,
      `${manifest}: the label ${JSON.stringify(doubtful)} counts as one. Write ; between labels if it is several.`,
    );
  }
}

/**
 * The file that a path written on Windows means.
 * @returns undefined if the file's name itself holds backslashes, or there is no such file
 */
async function withSlashes(path: string, manifest: string): Promise<string | undefined> {
  if (sep === '\\' || !path.includes('\\')) return undefined;
  const [literal, slashed] = [path, path.replaceAll('\\', '/')].map((each) => resolve(dirname(manifest), each));
  return !(await fileExists(literal!)) && (await fileExists(slashed!)) ? slashed : undefined;
}

/** Columns that are read. */
const COLUMNS = ['path', 'label', 'labels', 'split', 'group', 'weight'];

/** What people call them elsewhere. */
const OTHER_NAMES = new Map([
  ['filename', 'path'],
  ['file_name', 'path'],
  ['file', 'path'],
  ['filepath', 'path'],
  ['image', 'path'],
  ['image_path', 'path'],
  ['class', 'label'],
  ['class_name', 'label'],
  ['category', 'label'],
  ['target', 'label'],
  ['subset', 'split'],
  ['partition', 'split'],
]);

/** Columns that check-data writes beside those, for people to read. */
const OF_CHECK_DATA = ['issue', 'suggested_label', 'related', 'detail'];

/** Finds the columns of a manifest, whatever their case, and tells which are not read. */
class Columns {
  private readonly names = new Map<string, string | undefined>();

  constructor(
    private readonly manifest: string,
    private readonly skipped: SkippedFiles,
  ) {}

  /** The fields that are read, under their names in lower case. */
  read(row: Fields, place: string): Fields {
    const fields = new Map<string, unknown>();
    for (const [given, value] of Object.entries(row)) {
      const name = this.names.has(given) ? this.names.get(given) : this.find(given, Object.keys(row));
      if (name === undefined) continue;
      if (fields.has(name)) {
        throw new LastlayerError(`${place}: there are two columns ${name}, which differ in case. Remove one.`);
      }
      fields.set(name, value);
    }
    return Object.fromEntries(fields);
  }

  private find(given: string, all: readonly string[]): string | undefined {
    const name = given.trim().toLowerCase();
    const isRead = COLUMNS.includes(name);
    this.names.set(given, isRead ? name : undefined);
    if (isRead || name === '' || OF_CHECK_DATA.includes(name)) return isRead ? name : undefined;
    const meant = OTHER_NAMES.get(name);
    const others = all.map((each) => each.trim().toLowerCase());
    if (meant !== undefined && !others.includes(meant) && !(meant === 'label' && others.includes('labels'))) {
      throw new LastlayerError(
        `${this.manifest}: there is a column ${given} but none named ${meant}. If it is that, rename it to ${meant}; if not, ` +
          `to something else. The columns that are read are ${COLUMNS.join(', ')}.`,
      );
    }
    remark(
      this.skipped,
      `${this.manifest}: the column ${given} is not read; the columns that are read are ${COLUMNS.join(', ')}.`,
    );
    return undefined;
  }
}

/** @param names those of all the row's columns. @param place named in errors */
function toEntry(fields: Fields, names: readonly string[], manifest: string, place: string): DatasetEntry {
  const path = textOf(fields, 'path', place);
  if (path === undefined) {
    throw new LastlayerError(
      `${place}: no path. A manifest has the columns ${COLUMNS.join(', ')}; this row has ${names.join(', ') || 'none'}. A CSV ` +
        'file names its columns in the first line, and separates them by commas, semicolons or tabs.',
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

/** A field's text; undefined if it is absent, null or empty. */
function textOf(fields: Fields, name: string, place: string): string | undefined {
  const value = fields[name];
  if (value === undefined || value === null) return undefined;
  // A path may begin or end with a space, and is as the disk has it; of anything else, nobody sees such things.
  if (name === 'path' && typeof value === 'string') return value || undefined;
  if (typeof value === 'object') {
    throw new LastlayerError(`${place}: ${name} is ${JSON.stringify(value)}, but text is expected.`);
  }
  return labelText(withAllDigits(value, name, place));
}

/** @throws {LastlayerError} if it is a number of which JSON loses digits, so that several become one */
function withAllDigits(value: unknown, name: string, place: string): unknown {
  if (typeof value !== 'number' || !Number.isInteger(value) || Number.isSafeInteger(value)) return value;
  throw new LastlayerError(`${place}: ${name} is a number too large to keep its digits, ${value}. Write it in quotes.`);
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
    if (/^\[.*\]$/.test(label)) {
      throw new LastlayerError(
        `${place}: the label ${JSON.stringify(label)} is a list. Name the column labels, and write ${label.replace(/["'[\]]/g, '').replaceAll(', ', ';')}.`,
      );
    }
    return { label: withoutNul(label, place) };
  }
  if (labels === undefined || labels === null) return {};
  return { labels: [...new Set(listOf(labels, place))].sort() };
}

function listOf(labels: unknown, place: string): string[] {
  if (typeof labels === 'string') {
    if (/^\s*\[.*\]\s*$/.test(labels)) return listOf(listInText(labels, place), place);
    const texts = labels.split(';').map(labelText);
    return texts.filter((text) => text !== undefined).map((text) => withoutNul(text, place));
  }
  if (!Array.isArray(labels)) {
    throw new LastlayerError(
      `${place}: labels is ${JSON.stringify(labels)}, but a list such as ["cat", "dog"] is expected.`,
    );
  }
  return labels.map((label: unknown) => {
    const text = labelText(withAllDigits(label, 'labels', place));
    if (text !== undefined) return withoutNul(text, place);
    throw new LastlayerError(
      `${place}: labels holds ${JSON.stringify(label)}, but text is expected. Write an empty list, [], for a picture without labels.`,
    );
  });
}

/** A list as JSON or, as pandas writes it, as Python has it. */
function listInText(text: string, place: string): unknown {
  for (const json of [text, text.replaceAll("'", '"')]) {
    try {
      return JSON.parse(json);
    } catch {
      // The next one may do.
    }
  }
  throw new LastlayerError(
    `${place}: labels is ${text}, which is no list that can be read. Write cat;dog or ["cat", "dog"].`,
  );
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
