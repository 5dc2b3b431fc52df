import { decodeModel } from '../../src/formats/onnx/model.js';
import { decodeImage } from '../../src/image/decode.js';
import { IMAGENET_TRANSFORM } from '../../src/image/transform.js';
import { otherKind } from '../../src/util/file-kind.js';

/** Bytes of a text whose characters are bytes. */
function bytes(beginning: string): Buffer {
  return Buffer.concat([Buffer.from(beginning, 'latin1'), Buffer.alloc(300)]);
}

const LFS = 'version https://git-lfs.github.com/spec/v1\noid sha256:01\nsize 12\n';

test.each([
  ['a Git LFS pointer', LFS, /Git LFS pointer.*git lfs pull/],
  ['a web page', '\n<!DOCTYPE html><html>404</html>', /a web page; download the picture itself/],
  ['PPM', 'P6\n64 64\n255\n', /Netpbm/],
  ['JPEG 2000', '\0\0\0\x0cjP  \r\n\x87\n', /JPEG 2000/],
  ['a JPEG 2000 code stream', '\xff\x4f\xff\x51', /JPEG 2000/],
  ['JPEG XL', '\0\0\0\x0cJXL \r\n\x87\n', /JPEG XL/],
  ['a video', '\0\0\0\x20ftypisom\0\0\x02\0isomiso2', /a video/],
  ['another video', 'RIFF\x10\0\0\0AVI LIST', /a video/],
  ['a raw photograph', '\0\0\0\x18ftypcrx \0\0\0\x01crx isom', /raw photograph of a camera.*JPEG/],
  ['an icon', '\0\0\x01\0\x01\0\x10\x10', /Windows icon/],
  ['the error of a bucket', '<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied', /error of a server/],
  ['the error of an API', '{"error": "not found"}', /error of a server/],
  ['a NumPy array', '\x93NUMPY\x01\0', /NumPy array; save it as PNG/],
  ['HDF5', '\x89HDF\r\n\x1a\n', /HDF5.*save the pictures in it/],
  ['zstd', '\x28\xb5\x2f\xfd', /compressed; unpack it/],
  ['a PDF', '%PDF-1.7\n', /a PDF; save its pages/],
  ['gzip', '\x1f\x8b\x08\0', /gzip; unpack it/],
  ['a ZIP archive', 'PK\x03\x04', /ZIP archive; unpack it/],
  ['Photoshop', '8BPS\0\x01', /Photoshop/],
])('%s in place of a picture is named, with what to do', async (_, beginning, message) => {
  await expect(decodeImage(bytes(beginning), IMAGENET_TRANSFORM)).rejects.toThrow(message);
});

test.each([
  ['a Git LFS pointer', LFS, /net\.pth is not a model\. It is a Git LFS pointer.*git lfs pull/],
  ['a web page', '<!DOCTYPE html><html></html>', /a web page; use the address of the file itself.*\/resolve\//],
  ['Keras', '\x89HDF\r\n\x1a\n', /HDF5.*export the model to ONNX/],
  ['gzip', '\x1f\x8b\x08\0', /gzip; unpack it/],
  ['TFLite', '\x1c\0\0\0TFL3', /TensorFlow Lite/],
])('%s in place of a model, too', (_, beginning, message) => {
  expect(() => decodeModel(bytes(beginning), 'net.pth')).toThrow(message);
});

test('what is read, or is nothing that is known, has no other kind', () => {
  for (const beginning of [
    '\xff\xd8\xff\xe0',
    '\x89PNG\r\n',
    'BM\x9a\x02\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0',
    'GIF89a',
    'RIFF\x10\0\0\0WEBP',
    '\0\0\0\x20ftypavif\0\0\0\0avifmif1miaf',
    '\0\0\0\x18ftypheic\0\0\0\0mif1heic',
    '<svg xmlns="http://www.w3.org/2000/svg">',
    'just text',
    '',
  ]) {
    expect(otherKind(bytes(beginning), 'picture')).toBeUndefined();
  }
  expect(otherKind(bytes('PK\x03\x04'), 'model')).toBeUndefined();
});
