import { messageOf } from '../util/errors.js';
import { HttpError } from './errors.js';

const FORM = 'Send {"pictures": ["BASE64", …]}, each as base64 or as a data: URL of it.';

/**
 * The pictures in a JSON body: `{ "pictures": [base64, …] }`, where each may also be a `data:` URL.
 * @throws {HttpError} 400 if it is anything else; the message says what, and where
 */
export function picturesInJson(body: Buffer): { bytes: Buffer }[] {
  const value = parse(body);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalid('The body is no JSON object.');
  const { pictures, ...others } = value as Record<string, unknown>;
  const [other] = Object.keys(others);
  if (other !== undefined) throw invalid(`The JSON has a field ${JSON.stringify(other)}, which is not known.`);
  if (!Array.isArray(pictures) || pictures.length === 0) throw invalid('The JSON has no list of pictures.');
  return pictures.map((picture: unknown, i) => ({ bytes: decoded(picture, `pictures[${i}]`) }));
}

function parse(body: Buffer): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
  } catch (error) {
    throw invalid(`The body is no JSON: ${messageOf(error)}.`);
  }
}

/** Line breaks are allowed, and so are the characters of base64 in addresses. */
function decoded(picture: unknown, place: string): Buffer {
  if (typeof picture !== 'string') throw invalid(`${place} is no text.`);
  if (/^https?:/i.test(picture)) throw invalid(`${place} is an address, but the server downloads nothing.`);
  const digits = picture.replace(/^data:[^,]*;base64,/i, '').replace(/\s+/g, '');
  if (/^[\w+/-]+={0,2}$/.test(digits)) return Buffer.from(digits, 'base64');
  throw invalid(`${place} is no base64.`);
}

function invalid(reason: string): HttpError {
  return new HttpError(400, 'invalid_json', `${reason} ${FORM}`);
}
