import { type Command, Option } from 'commander';
import { fetchModel } from '../backbone/fetch/fetch-model.js';
import { DEFAULT_NAME } from '../backbone/models.js';
import { TORCHVISION_MODELS, WEIGHTS, type WeightsName } from '../backbone/torchvision.js';
import { quantity } from '../util/format.js';
import { call, option, sayNext } from './next.js';
import {
  colour,
  type DestinationFlags,
  forceOption,
  jsonOption,
  modelOutOption,
  nameOption,
  wholeNumber,
} from './options.js';
import { interruptible, Progress } from './progress.js';
import { notice, print, printJson } from './terminal.js';

interface FetchFlags extends DestinationFlags {
  model?: string | undefined;
  weights?: WeightsName | undefined;
  from?: string | undefined;
  features?: string | undefined;
  sha256?: string | undefined;
  resize?: number | undefined;
  mean?: [number, number, number] | undefined;
  std?: [number, number, number] | undefined;
  json?: true | undefined;
}

export const fetchModelCommand = (command: Command): Command =>
  command
    .addOption(
      new Option('--model <name>', "one of torchvision's ResNets (default: resnet18)").choices(TORCHVISION_MODELS),
    )
    .addOption(new Option('--weights <name>', 'which weights of it (default: IMAGENET1K_V1)').choices(WEIGHTS))
    .option('--from <file|url>', 'a .pth, .safetensors or .onnx file instead')
    .option('--features <name>', 'tensor or operator to use as the features (default: the pooled ones)')
    .addOption(nameOption("torchvision's name, or the model's own"))
    .addOption(modelOutOption())
    .addOption(forceOption())
    .option('--sha256 <digits>', 'first digits of the sha256 that the source must have')
    .option('--resize <pixels>', 'shorter side before the crop, if not 256 for a crop of 224', wholeNumber)
    .option('--mean <r,g,b>', "mean of each channel, from 0 to 1, if not ImageNet's", colour)
    .option('--std <r,g,b>', "standard deviation of each channel, if not ImageNet's", colour)
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
Without --from, uses the copy in the cache of torch.hub or the Hugging Face hub, or downloads the weights (45 MB for
resnet18). An interrupted download is resumed. docs/backbones.md compares backbones.

The model is kept under its id, in the folder that \`npm run models\` prints, and nothing there is ever replaced: heads and stores
find the model that they were made with. The other commands use the one named resnet18, unless --model NAME names another.

Examples:
  npm run fetch-model
  npm run fetch-model -- --model resnet50
  npm run fetch-model -- --from resnet34-b627a593.pth
  npm run fetch-model -- --from https://example.com/my-model.onnx --name mine
  npm run fetch-model -- --from vit.onnx --features /head/Gather_output_0`,
    )
    .action(run);

async function run({ json, resize, mean, std, ...flags }: FetchFlags): Promise<void> {
  const progress = new Progress('download', 'MB', (bytes) => (bytes / 1e6).toFixed(1));
  const { path, card, ...rest } = await interruptible(
    (signal) =>
      fetchModel({
        ...flags,
        transform: { resize, mean, std },
        signal,
        onNotice: notice,
        onProgress: (received, total) => {
          progress.update(received, total);
        },
      }),
    { displays: [progress] },
  );
  if (json) {
    printJson({ path, ...rest, ...card });
    return;
  }
  const classes = card.classes === null ? '' : `, logits of ${quantity(card.classes, 'class', 'classes')}`;
  print(`${path}\n  ${card.id}, embeddings of width ${card.featureWidth}${classes}`);
  print(`  from ${card.source}`);
  const args = option('--model', rest.knownAs ?? path, DEFAULT_NAME);
  sayNext(`${call('embed', 'FOLDER', ...args)} turns a folder of pictures into embeddings of it.`);
}
