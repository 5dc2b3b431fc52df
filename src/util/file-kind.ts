/** Kinds of files that come in place of a picture or a model: how they begin, and what to do with one. */
const KINDS: readonly { begins: RegExp | string; is: string; picture?: string; model?: string }[] = [
  {
    begins: /^version https:\/\/git-lfs/,
    is: 'a Git LFS pointer in place of the file itself',
    picture: 'run `git lfs pull`',
    model: 'run `git lfs pull`',
  },
  {
    begins: /^\s*(?:<!doctype html|<html|<head)/i,
    is: 'a web page',
    picture: 'download the picture itself',
    model: 'use the address of the file itself, with /resolve/ or /raw/ in place of /blob/',
  },
  {
    begins: /^\s*(?:<\?xml[^>]*>\s*<Error>|\{\s*")/,
    is: 'text, such as the error of a server',
    picture: 'look into it, and download the picture again',
  },
  { begins: '\x1f\x8b', is: 'compressed by gzip', picture: 'unpack it', model: 'unpack it' },
  { begins: /^(?:BZh\d|\xfd7zXZ\0|\x28\xb5\x2f\xfd)/, is: 'compressed', picture: 'unpack it', model: 'unpack it' },
  {
    // Of JPEG, PNG, GIF, WebP, TIFF, and AVIF and HEIC.
    begins: /^(?:data:image\/|\/9j\/|iVBORw0K|R0lGOD|UklGR|SUkq|TU0A|AAAA..Z0eX)/,
    is: 'base64 text',
    picture: 'decode it first',
  },
  { begins: 'PK\x03\x04', is: 'a ZIP archive', picture: 'unpack it' },
  { begins: /^(?:Rar!|7z\xbc\xaf)/, is: 'an archive', picture: 'unpack it', model: 'unpack it' },
  {
    begins: /^\x89HDF\r\n/,
    is: 'HDF5, as Keras writes it',
    picture: 'save the pictures in it as files',
    model: 'export the model to ONNX, with tf2onnx for example',
  },
  { begins: '\x93NUMPY', is: 'a NumPy array', picture: 'save it as PNG' },
  { begins: /^[^]{4}TFL3/, is: 'TensorFlow Lite', model: 'export the model to ONNX, with tf2onnx for example' },
  { begins: /^P[1-7]\s/, is: 'a Netpbm picture (PPM), which is not read', picture: 'convert it to PNG' },
  {
    begins: /^(?:[^]{4}jP {2}\r\n|\xff\x4f\xff\x51)/,
    is: 'JPEG 2000, which is not read',
    picture: 'convert it to JPEG',
  },
  { begins: /^[^]{4}JXL \r\n/, is: 'JPEG XL, which is not read', picture: 'convert it to JPEG' },
  { begins: '\xff\x0a', is: 'JPEG XL, which is not read', picture: 'convert it to JPEG' },
  { begins: /^[^]{4}ftyp(?:isom|iso\d|mp4\d|qt {2}|M4V )/, is: 'a video', picture: 'take its frames as pictures' },
  { begins: /^RIFF[^]{4}AVI /, is: 'a video', picture: 'take its frames as pictures' },
  { begins: '\x1aE\xdf\xa3', is: 'a video', picture: 'take its frames as pictures' },
  { begins: /^[^]{4}ftypcrx /, is: 'a raw photograph of a camera, which is not read', picture: 'convert it to JPEG' },
  { begins: '\0\0\x01\0', is: 'a Windows icon, which is not read', picture: 'convert it to PNG' },
  { begins: 'v/1\x01', is: 'OpenEXR, which is not read', picture: 'convert it to PNG' },
  { begins: '%!PS', is: 'PostScript, which is not read', picture: 'convert it to PNG' },
  { begins: /^%PDF-/, is: 'a PDF', picture: 'save its pages as pictures' },
  { begins: /^8BPS/, is: 'a Photoshop file, which is not read', picture: 'save it as PNG or JPEG' },
];

/**
 * What a file is that was to be a picture or a model, and what to do.
 * @param bytes its first 64 bytes or more
 * @returns such as `BMP, which is not read; convert it to PNG`; undefined if it is none of the kinds that are known
 */
export function otherKind(bytes: Uint8Array, wanted: 'picture' | 'model'): string | undefined {
  const beginning = Buffer.from(bytes.subarray(0, 64)).toString('latin1');
  const matches = (begins: RegExp | string) =>
    typeof begins === 'string' ? beginning.startsWith(begins) : begins.test(beginning);
  const kind = KINDS.find((each) => each[wanted] !== undefined && matches(each.begins));
  return kind && `${kind.is}; ${kind[wanted]!}`;
}
