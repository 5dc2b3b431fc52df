import { type Command, Option } from 'commander';
import { TORCHVISION_MODELS, WEIGHTS } from '../../backbone/torchvision.js';
import { lazily } from '../../util/lazily.js';
import { colour, forceOption, jsonOption, modelOutOption, nameOption, wholeNumber } from '../options.js';

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
Without --from, uses the copy in the cache of torch.hub or the Hugging Face hub, or downloads the weights (45 MB for resnet18). An
interrupted download is resumed. docs/backbones.md compares backbones.

The model is kept under its id, in the folder that \`npm run models\` prints, and nothing there is ever replaced: heads and stores
find the model that they were made with. The other commands use the one named resnet18, unless --model NAME names another.

Examples:
  npm run fetch-model
  npm run fetch-model -- --model resnet50
  npm run fetch-model -- --from resnet34-b627a593.pth
  npm run fetch-model -- --from https://example.com/my-model.onnx --name mine
  npm run fetch-model -- --from vit.onnx --features /head/Gather_output_0`,
    )
    .action(lazily(async () => (await import('../fetch-model.js')).run));
