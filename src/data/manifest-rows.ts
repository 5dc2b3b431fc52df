import { isUtf8 } from 'node:buffer';
import { createReadStream } from 'node:fs';
import { Readable } from 'node:stream';
import { parse } from 'csv-parse';
import { LastlayerError, messageOf } from '../util/errors.js';
import { isObject } from '../util/json.js';

/** The columns of a row, under the names that the manifest gives them. */
export type Fields = Record<string, unknown>;

/** The rows of a CSV file with a header, each with its line. @throws {LastlayerError} that names the file, and the line if there is one */
export async function* csvRows(path: string): AsyncGenerator<[number, Fields]> {
  const { delimiter, from } = await layoutOf(path);
  const source = Readable.from(textOfFile(path));
  const parser = parse({
    columns: (header: string[]) => {
      const twice = header.find((name, i) => name !== '' && header.indexOf(name) !== i);
      if (twice !== undefined) throw new LastlayerError(`${path}: there are two columns ${twice}. Remove one.`);
      return header;
    },
    delimiter,
    from_line: from,
    skip_empty_lines: true,
    trim: true,
    info: true,
  });
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

/**
 * What separates the columns, and the line of the header. Excel writes semicolons where a comma is the decimal point, and tabs as
 * "Text"; it takes a first line such as `sep=;` for the separator.
 */
async function layoutOf(path: string): Promise<{ delimiter: string; from: number }> {
  for await (const text of textOfFile(path)) {
    const [header = ''] = text.split(/\r?\n/, 1);
    const [, told] = /^sep=(.)$/i.exec(header) ?? [];
    if (told !== undefined) return { delimiter: told, from: 2 };
    const count = (delimiter: string) => header.split(delimiter).length;
    const delimiter = [';', '\t'].reduce((best, each) => (count(each) > count(best) ? each : best), ',');
    return { delimiter, from: 1 };
  }
  return { delimiter: ',', from: 1 };
}

/** The objects of a JSON Lines file, each with its line. @throws {LastlayerError} as {@link csvRows} does */
export async function* jsonRows(path: string): AsyncGenerator<[number, Fields]> {
  let line = 0;
  for await (const text of textOfFile(path)) {
    const rows = text.split('\n');
    // What follows the last line feed is the beginning of nothing.
    if (rows.at(-1) === '') rows.pop();
    for (const row of rows) {
      line++;
      if (row.trim() !== '') yield [line, parseObject(row.trimEnd(), `${path}, line ${line}`)];
    }
  }
}

/**
 * A file's text in whole lines, without a byte order mark.
 * @throws {LastlayerError} if it is not UTF-8, with the line and the bytes
 */
async function* textOfFile(path: string): AsyncGenerator<string> {
  let [rest, line, isFirst] = [Buffer.alloc(0), 1, true];
  const decode = (bytes: Buffer): string => {
    const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: !isFirst });
    isFirst = false;
    try {
      return decoder.decode(bytes);
    } catch {
      throw new LastlayerError(notUtf8(path, bytes, line));
    }
  };
  for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) {
    const bytes = Buffer.concat([rest, chunk]);
    const end = bytes.lastIndexOf(0x0a) + 1;
    rest = bytes.subarray(end);
    if (end === 0) continue;
    const text = decode(bytes.subarray(0, end));
    yield text;
    line += text.split('\n').length - 1;
  }
  if (rest.length > 0) yield decode(rest);
}

/** Says where bytes are not UTF-8, and what they may be. @param line number of the first line */
function notUtf8(path: string, bytes: Buffer, line: number): string {
  const advice = 'Save the manifest as UTF-8 (in Excel: "CSV UTF-8"; in PowerShell: -Encoding utf8).';
  const [first = 0, second = 0] = bytes;
  if ((first === 0xff && second === 0xfe) || (first === 0xfe && second === 0xff)) return `${path} is UTF-16. ${advice}`;
  for (let start = 0; start < bytes.length; line++) {
    const end = bytes.indexOf(0x0a, start) < 0 ? bytes.length : bytes.indexOf(0x0a, start);
    const row = bytes.subarray(start, end);
    if (!isUtf8(row)) {
      let at = 0;
      // A character takes up to four bytes.
      while ([1, 2, 3, 4].some((bytes) => isUtf8(row.subarray(0, at + bytes)))) at++;
      const byte = row[at] ?? 0;
      const shown = new TextDecoder('windows-1252').decode(row).trim();
      return `${path}, line ${line}: the byte ${byte.toString(16)} is not UTF-8; as Windows-1252, the line is ${JSON.stringify(shown)}. ${advice}`;
    }
    start = end + 1;
  }
  return `${path} is not UTF-8. ${advice}`;
}

function parseObject(row: string, place: string): Fields {
  let value: unknown;
  try {
    value = JSON.parse(row);
  } catch (error) {
    throw new LastlayerError(`${place}: ${messageOf(error)}.`);
  }
  if (isObject(value)) return value;
  throw new LastlayerError(`${place}: an object such as {"path": "a.jpg"} is expected, not ${row}.`);
}
