import { relative } from 'node:path';
import { Command } from 'commander';
import { fetchModel } from '../backbone/index.js';
import { interruptible } from './interrupt.js';
import { jsonOption } from './options.js';
import { print, Progress, say } from './terminal.js';

interface FetchFlags {
  from?: string;
  out: string;
  sha256?: string;
  json?: true;
}

export const fetchModelCommand = (): Command =>
  new Command('fetch-model')
    .description(
      "Get the frozen network: torchvision's ImageNet ResNet-18, or a file or address of your own.",
    )
    .option('--from <file|url>', 'a .pth, .safetensors or .onnx file')
    .option('--out <file>', 'where to write it', 'models/resnet18.onnx')
    .option('--sha256 <digits>', 'refuse it unless its sha256 begins with these digits')
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
Without --from, a copy in the cache of torch.hub or the Hugging Face hub is taken, else it is downloaded (45 MB).
An interrupted download goes on where it was.

Examples:
  npm run fetch-model
  npm run fetch-model -- --from resnet34-b627a593.pth --out models/resnet34.onnx
  npm run fetch-model -- --from https://example.com/my-network.onnx --out models/mine.onnx`,
    )
    .action(run);

async function run({ from, out, sha256, json }: FetchFlags): Promise<void> {
  const progress = new Progress('download', 'MB', (bytes) => (bytes / 1e6).toFixed(1));
  const { path, card } = await interruptible(async (signal) => {
    try {
      return await fetchModel({
        out,
        ...(from === undefined ? {} : { from }),
        ...(sha256 === undefined ? {} : { sha256 }),
        signal,
        onNotice: say,
        onProgress: (received, total) => {
          progress.update(received, total);
        },
      });
    } finally {
      progress.stop();
    }
  });
  if (json) {
    print(JSON.stringify({ path, ...card }));
    return;
  }
  const classes = card.classes === null ? '' : `, logits of ${card.classes} classes`;
  print(`${relative('.', path)}: ${card.id}, embeddings of width ${card.featureWidth}${classes}`);
  print(`  from ${card.source}`);
}
