import { resolve } from 'node:path';
import { Command, Option } from 'commander';
import { Classifier } from '../classifier/index.js';
import {
  exportOnnx,
  exportSafetensors,
  ONNX_INPUTS,
  type ExportedOnnx,
  type OnnxInput,
} from '../export/index.js';
import { loadHead } from '../head/index.js';
import { picturesToCheckOn } from './check-pictures.js';
import { interruptible } from './interrupt.js';
import { headOption, jsonOption, modelOption, storeOption, wholeNumber } from './options.js';
import { print, Progress, say } from './terminal.js';

/** What each format is written to where no file is named. */
const OUT = { onnx: 'classifier.onnx', safetensors: 'fc.safetensors' };
type Format = keyof typeof OUT;

interface ExportFlags {
  head: string;
  format: Format;
  out?: string;
  input: OnnxInput;
  check?: string;
  pictures: number;
  calibrated?: boolean;
  model?: string;
  store: string;
  json?: true;
}

export const exportCommand = (): Command =>
  new Command('export')
    .description('Write the trained classifier for other programs.')
    .addOption(new Option('--format <name>', 'what to write').choices(Object.keys(OUT)).default('onnx'))
    .option('--out <file>', 'where to write it (default: classifier.onnx, fc.safetensors)')
    .addOption(headOption())
    .addOption(
      new Option('--input <kind>', 'onnx: what the network takes, see below')
        .choices(ONNX_INPUTS)
        .default('image'),
    )
    .option(
      '--check <dataset>',
      'onnx: the pictures to compare with predict on (default: the data set embedded last, else the examples)',
    )
    .addOption(
      new Option('--pictures <n>', 'onnx: how many of them, at most').argParser(wholeNumber).default(16),
    )
    .option(
      '--calibrated',
      'safetensors: divide the layer by the temperature, so that softmax alone gives probabilities',
    )
    .addOption(modelOption())
    .addOption(storeOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
onnx: trunk, head, temperature and softmax as one network, with the labels in its metadata. Its outputs are probabilities, logits,
embedding and unknown. It takes
  image   RGB bytes of upright pictures of any size, uint8 [batch, height, width, 3]; resizes, crops and normalises them itself
  pixels  RGB bytes, resized and cropped already, uint8 [batch, 224, 224, 3]
  tensor  normalised planes, float32 [batch, 3, 224, 224], as torchvision's transforms make them
Before it is written it is run on pictures and compared with predict.

safetensors: fc.weight and fc.bias, which torchvision's resnet18(num_classes=N) loads beside the trunk's own tensors. The
temperature is in the metadata, where --calibrated does not fold it in. docs/export.md has the Python.

Examples:
  npm run export
  npm run export -- --head ants-and-bees.safetensors --out ants-and-bees.onnx --check ~/photos
  npm run export -- --input tensor --json
  npm run export -- --format safetensors`,
    )
    .action(run);

async function run(flags: ExportFlags): Promise<void> {
  const path = resolve(flags.out ?? OUT[flags.format]);
  if (flags.format === 'onnx') await writeOnnx(path, flags);
  else await writeSafetensors(path, flags);
}

async function writeSafetensors(
  path: string,
  { head: file, calibrated = false, json }: ExportFlags,
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

async function writeOnnx(path: string, flags: ExportFlags): Promise<void> {
  const { head, input, json, model } = flags;
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
