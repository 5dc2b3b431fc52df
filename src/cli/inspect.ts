import type { Backbone } from '../backbone/backbone.js';
import { featureCandidates, inspectBackbone, type Layer } from '../backbone/inspect.js';
import { loadBackbone } from '../backbone/load.js';
import { modelFile } from '../backbone/models.js';
import { UsageError } from '../util/errors.js';
import { sum } from '../util/math.js';
import { call, option, sayNext } from './next.js';
import { notice, print, printJson, table } from './terminal.js';

interface InspectFlags {
  model?: string | undefined;
  features?: true | undefined;
  json?: true | undefined;
}

export async function run({ json, features, ...flags }: InspectFlags): Promise<void> {
  if (features) {
    await inspectFeatures(flags.model, json);
    return;
  }
  const backbone = await loadBackbone({ ...flags, onNotice: notice });
  const layers = await inspectBackbone(backbone);
  const { id, source, width, transform } = backbone;
  if (json) {
    const frozen = layers.map((layer) => ({ ...layer, frozen: true }));
    printJson({ id, source, width, transform, layers: frozen });
    return;
  }
  print(`${id}  ${source}\n`);
  print(table(rowsOf(layers, backbone)));
  const parameters = sum(layers.map((layer) => layer.parameters));
  print(`\n${parameters.toLocaleString('en')} parameters are frozen; each BatchNorm is folded into its convolution.`);
  print(`fc is the head: Linear(${width}, N) for your N classes, the only layer that is trained.`);
  sayNext(`${call('embed', 'FOLDER', ...option('--model', flags.model))} turns pictures into embeddings of it.`);
}

/** Works for any model, even one that cannot be a backbone as it is. */
async function inspectFeatures(model: string | undefined, json: true | undefined): Promise<void> {
  if (model === undefined) throw new UsageError('--features needs --model. Name a model or a file.');
  const path = await modelFile(model);
  const candidates = await featureCandidates(path);
  if (json) {
    printJson({ model, features: candidates });
    return;
  }
  const rows = candidates.map(({ tensor, operator, shape, width }) => [
    tensor,
    operator,
    shape.join(' × '),
    String(width),
  ]);
  print(table([['features', 'operator', 'shape', 'width'], ...rows]));
  sayNext(`${call('fetch-model', '--from', path, '--features', 'NAME')} uses one of them.`);
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
