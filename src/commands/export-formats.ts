import { Classifier } from '../classifier/index.js';
import {
  exportEmbeddings,
  exportOnnx,
  exportSafetensors,
  type ExportedOnnx,
  type OnnxInput,
  type TableFormat,
} from '../export/index.js';
import { loadHead } from '../head/index.js';
import { picturesToCheckOn } from './check-pictures.js';
import { interruptible } from './interrupt.js';
import { print, Progress, say } from './terminal.js';

export const DEFAULT_HEAD = 'head.safetensors';

/** What the writers of all formats go by. */
export interface WriteFlags {
  head?: string;
  input: OnnxInput;
  check?: string;
  pictures: number;
  calibrated?: boolean;
  model?: string;
  store: string;
  dataset?: string;
  json?: true;
}

export async function writeEmbeddings(
  path: string,
  format: TableFormat,
  { store, dataset, head, json, ...flags }: WriteFlags,
): Promise<void> {
  const model = flags.model ?? (head === undefined ? undefined : (await loadHead(head)).modelId);
  const progress = new Progress('writing', 'rows');
  const written = await interruptible(async (signal) => {
    try {
      return await exportEmbeddings(path, {
        ...{ format, store, signal, onNotice: say },
        ...(model !== undefined && { model }),
        ...(dataset !== undefined && { dataset }),
        onProgress: (done, total) => {
          progress.update(done, total);
        },
      });
    } finally {
      progress.stop();
    }
  });
  if (json) print(JSON.stringify(written));
  else {
    const { paths, rows, width, modelId, failed } = written;
    print(`${paths.join(', ')}: [${rows}, ${width}] by ${modelId}, of ${written.dataset}`);
    if (failed > 0) say(`${failed} pictures of it could not be read, and are not among them.`);
  }
}

export async function writeSafetensors(
  path: string,
  { head: file = DEFAULT_HEAD, calibrated = false, json }: WriteFlags,
): Promise<void> {
  const head = await loadHead(file);
  const written = await exportSafetensors(head, path, { calibrated });
  if (json) print(JSON.stringify({ ...written, modelId: head.modelId }));
  else {
    const { classes, width } = written;
    print(`${path}: fc.weight [${classes}, ${width}] and fc.bias [${classes}] for ${head.modelId}`);
    print(
      calibrated
        ? '  the temperature is folded in'
        : `  divide its output by the temperature, ${head.temperature.toPrecision(4)}`,
    );
  }
}

export async function writeOnnx(path: string, flags: WriteFlags): Promise<void> {
  const { head = DEFAULT_HEAD, input, json, model } = flags;
  const classifier = await Classifier.load(head, { ...(model !== undefined && { model }), onNotice: say });
  const progress = new Progress('comparing', 'images');
  const { pictures, exported } = await interruptible(async (signal) => {
    try {
      const pictures = await picturesToCheckOn(flags, classifier.head.modelId, signal);
      const exported = await exportOnnx(classifier, path, {
        ...{ input, signal, pictures: pictures.paths, onNotice: say },
        onProgress: (done, total) => {
          progress.update(done, total);
        },
      });
      return { pictures, exported };
    } finally {
      progress.stop();
    }
  });
  if (json)
    print(JSON.stringify({ ...exported, modelId: classifier.backbone.id, checkedOn: pictures.dataset }));
  else describe(exported, classifier, pictures.dataset);
}

const INPUTS = {
  image: 'uint8 [batch, height, width, 3], RGB pictures of any size',
  pixels: 'uint8 [batch, crop, crop, 3], RGB pictures resized and cropped',
  tensor: 'float32 [batch, 3, crop, crop], normalised planes',
};

function describe(
  { path, bytes, input, outputs, check }: ExportedOnnx,
  { backbone, head }: Classifier,
  dataset: string,
): void {
  const { pictures, sameTop, meanDifference, largestDifference } = check;
  print(
    `${path}: ${backbone.id} with a head of ${head.labels.length} ${head.kind === 'softmax' ? 'classes' : 'labels'}, ${(bytes / 1e6).toFixed(1)} MB`,
  );
  print(
    `  input    ${INPUTS[input].replaceAll('crop, crop', `${backbone.transform.crop}, ${backbone.transform.crop}`)}`,
  );
  print(`  outputs  ${outputs.join(', ')}`);
  print(
    `  checked  on ${pictures} pictures of ${dataset}: predict's class for ${sameTop} of them, ` +
      `probabilities within ${largestDifference.toPrecision(2)}, on average ${meanDifference.toPrecision(2)}`,
  );
}
