import * as ort from '../../node_modules/onnxruntime-web/dist/ort.wasm.bundle.min.mjs';
import { readMetadata } from './onnx-metadata.js';

// More threads need a server that sends COOP and COEP headers.
ort.env.wasm.numThreads = 1;

/** A classifier that `npm run export` wrote, whose input is `image`. */
export class Classifier {
  /** @param {string} url the .onnx file */
  static async load(url) {
    const response = await fetch(url);
    if (!response.ok) throw new Error(`There is no ${url}. Write it with npm run export.`);
    const bytes = new Uint8Array(await response.arrayBuffer());
    const metadata = readMetadata(bytes);
    if (metadata.input !== 'image') throw new Error(`${url} was not exported with --input image.`);
    return new Classifier(await ort.InferenceSession.create(bytes), metadata);
  }

  constructor(session, metadata) {
    this.session = session;
    this.labels = JSON.parse(metadata.labels);
    /** The probability from which each label is given, if a picture can have several; otherwise null. */
    this.thresholds = JSON.parse(metadata.thresholds);
  }

  /**
   * @param {Blob} file a picture of any format that the browser reads
   * @returns the classes, the most probable first, and whether the picture is unlike the training pictures
   */
  async classify(file) {
    const { data, width, height } = await pixelsOf(file);
    const image = new ort.Tensor('uint8', data, [1, height, width, 3]);
    const { probabilities, unknown } = await this.session.run({ image });
    const classes = this.labels.map((label, i) => {
      const probability = probabilities.data[i];
      return { label, probability, given: this.thresholds && probability >= this.thresholds[i] };
    });
    return {
      classes: classes.sort((a, b) => b.probability - a.probability),
      unknown: unknown?.data[0] === 1,
    };
  }
}

/** RGB bytes, as lastlayer reads them: upright, transparency on white, colour profiles ignored. */
async function pixelsOf(file) {
  const bitmap = await createImageBitmap(file, {
    imageOrientation: 'from-image',
    colorSpaceConversion: 'none',
  });
  const { width, height } = bitmap;
  const context = new OffscreenCanvas(width, height).getContext('2d');
  context.fillStyle = 'white';
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const rgba = context.getImageData(0, 0, width, height).data;
  const data = new Uint8Array(width * height * 3);
  for (let from = 0, to = 0; to < data.length; from += 4, to += 3) {
    data[to] = rgba[from];
    data[to + 1] = rgba[from + 1];
    data[to + 2] = rgba[from + 2];
  }
  return { data, width, height };
}
