import { Command } from 'commander';
import { inspectBackbone, loadBackbone, type Backbone, type Layer } from '../backbone/index.js';
import { backboneOptions, jsonOption, modelOption } from './options.js';
import { print, say, table } from './terminal.js';

interface InspectFlags {
  model?: string;
  json?: true;
}

export const inspectCommand = (): Command =>
  new Command('inspect')
    .description(
      'Print the architecture of the network in use: its layers, shapes, parameters, and what is frozen.',
    )
    .addOption(modelOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
Examples:
  npm run inspect
  npm run inspect -- --model models/resnet34.onnx`,
    )
    .action(inspect);

async function inspect({ json, ...flags }: InspectFlags): Promise<void> {
  const backbone = await loadBackbone({ ...backboneOptions({ ...flags, device: 'cpu' }), onNotice: say });
  const layers = await inspectBackbone(backbone);
  const { id, source, width, transform } = backbone;
  if (json) {
    print(
      JSON.stringify({
        id,
        source,
        width,
        transform,
        layers: layers.map((layer) => ({ ...layer, frozen: true })),
      }),
    );
  } else {
    print(`${id}  ${source}\n`);
    print(table(rowsOf(layers, backbone)));
    const frozen = layers.reduce((sum, { parameters }) => sum + parameters, 0);
    print(
      `\n${frozen.toLocaleString('en')} parameters are frozen; each BatchNorm is folded into its convolution.`,
    );
    print(`fc is the head: Linear(${width}, N) for your N classes, the only layer that is trained.`);
  }
}

function rowsOf(layers: readonly Layer[], { width, transform }: Backbone): string[][] {
  const rows = [['layer', 'operator', 'output', 'parameters', '']];
  rows.push(['input', '', `3 × ${transform.crop} × ${transform.crop}`, '', '']);
  let open: string[] = [];
  for (const { path, operator, shape, parameters } of layers) {
    const groups = path.slice(0, -1);
    const shared = groups.findIndex((name, depth) => name !== open[depth]);
    for (let depth = shared === -1 ? groups.length : shared; depth < groups.length; depth++) {
      rows.push([indent(depth, groups[depth] ?? '')]);
    }
    open = groups;
    const name = indent(groups.length, path.at(-1) ?? '');
    const count = parameters > 0 ? parameters.toLocaleString('en') : '';
    rows.push([name, operator, shape.join(' × '), count, parameters > 0 ? 'frozen' : '']);
  }
  rows.push(['fc (your head)', `Gemm ${width} → N`, 'N', `${width}·N + N`, 'trained']);
  return rows;
}

function indent(depth: number, name: string): string {
  return '  '.repeat(depth) + name;
}
