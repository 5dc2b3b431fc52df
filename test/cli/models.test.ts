import { readdirSync, readFileSync } from 'node:fs';
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { WrittenModel } from '../../src/backbone/models.js';
import type { ModelList } from '../../src/classify/model-list.js';
import { untrainedBackbone } from '../../scripts/support/untrained.js';
import { lastlayer, lastlayerProcess, type Outcome } from '../support/command-line.js';
import { stripedDataset, temporaryFolder } from '../support/files.js';
import { smallNetwork } from '../support/small-network.js';

const root = await temporaryFolder();
const HOME = join(process.env.LASTLAYER_HOME ?? '', 'models');
const [data, otherData] = [join(root, 'data'), join(root, 'other-data')];
const [picture = ''] = await stripedDataset(data, { train: { flat: 6, steep: 6 }, val: { flat: 3, steep: 3 } });
await stripedDataset(otherData, { '.': { slanted: 5, flat: 1 } });
for (const scale of [1, 2]) await writeFile(join(root, `net${scale}.onnx`), smallNetwork(scale));

/** The folder that the commands run in. */
let folder = '';
let made = 0;

beforeEach(async () => {
  folder = join(root, String(made++));
  await mkdir(folder);
  await rm(HOME, { recursive: true, force: true });
});

const run = (...args: string[]): Promise<Outcome> => lastlayer(args, folder);

async function succeed(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await run(...args);
  expect({ code, stderr }).toMatchObject({ code: 0 });
  return stdout;
}

async function json<T>(...args: string[]): Promise<T> {
  return JSON.parse(await succeed(...args, '--json')) as T;
}

const fetchNet = (scale: number, ...flags: string[]) =>
  json<WrittenModel['card'] & WrittenModel>('fetch-model', '--from', join(root, `net${scale}.onnx`), ...flags);

/** Embeds, trains a head, and gives what it predicts. */
async function embedAndTrain(...flags: string[]): Promise<string> {
  await succeed('embed', data, ...flags);
  await succeed('train-head', ...flags);
  return succeed('predict', picture, '--json');
}

describe('an earlier head', () => {
  it('finds its int8 model after another calibration', async () => {
    const { source } = await untrainedBackbone({ modelsDir: join(root, 'untrained') });
    await succeed('fetch-model', '--from', source, '--name', 'resnet18');
    const embedded = await run('embed', data, '--precision', 'int8', '--json');
    const [, first = ''] = /Made (\S+)\. /.exec(embedded.stderr) ?? [];
    // Where int8 is slower than float32, embed keeps to float32 unless it is told.
    if (embedded.stderr.includes('int8 is slower')) await succeed('embed', data, '--model', first);
    await succeed('train-head', '--model', first);
    const before = await succeed('predict', picture, '--json');

    const quantized = await run('quantize', '--calibrate', otherData, '--pictures', '2', '--json');
    const { id: second } = JSON.parse(quantized.stdout) as { id: string };
    expect(second).not.toBe(first);
    expect(quantized.stderr).toContain(`resnet18.int8 now stands for ${second}. It stood for ${first}, which is kept`);
    expect(await succeed('predict', picture, '--json')).toBe(before);
    await succeed('search', picture);

    const { models } = await json<ModelList>('models');
    const listed = (id: string) => models.find((model) => model.id === id);
    expect(listed(first)).toMatchObject({
      ...{ names: [], precision: 'int8', isDefault: false, path: join(HOME, `${first}.onnx`) },
      ...{ heads: ['head.safetensors'], datasets: [{ store: 'embeddings', dataset: data }] },
    });
    expect(listed(second)).toMatchObject({ names: ['resnet18.int8'], heads: [], datasets: [] });
    expect(models.find(({ isDefault }) => isDefault)).toMatchObject({ names: ['resnet18'], precision: 'fp32' });
  });

  it('finds its model after another one was fetched under the same name', async () => {
    const first = await fetchNet(1, '--name', 'resnet18');
    const before = await embedAndTrain();
    const second = await run('fetch-model', '--from', join(root, 'net2.onnx'), '--name', 'resnet18');
    expect(second.stderr).toMatch(/^resnet18 now stands for network@\w+\. It stood for network@\w+, which is kept/);
    expect(second.stderr).toContain(first.id);
    expect(await succeed('predict', picture, '--json')).toBe(before);
    // From now on, embed uses the new one; the store has both, and the name means the new one.
    const { modelId } = await json<{ modelId: string }>('embed', data);
    expect(modelId).not.toBe(first.id);
    expect(await json('train-head', '--model', 'resnet18', '--out', 'new.safetensors')).toMatchObject({ modelId });

    // Fetching the same again changes nothing, and is nothing to tell.
    const file = readFileSync(join(HOME, `${modelId}.onnx`));
    const again = await run('fetch-model', '--from', join(root, 'net2.onnx'), '--name', 'resnet18', '--json');
    expect([again.code, again.stderr]).toEqual([0, '']);
    expect(readFileSync(join(HOME, `${modelId}.onnx`)).equals(file)).toBe(true);
  });

  it('that came without its model names it, where it was looked for, and what brings it', async () => {
    const { id, path } = await fetchNet(1, '--name', 'mine');
    const before = await embedAndTrain('--model', 'mine');
    const elsewhere = join(root, 'elsewhere');
    await mkdir(elsewhere, { recursive: true });
    await rename(path, join(elsewhere, 'brought.onnx'));
    await rm(HOME, { recursive: true });
    for (const args of [['predict', picture], ['evaluate', data], ['export'], ['serve', '--port', '0']]) {
      const { code, stderr } = await run(...args);
      expect(code).toBe(1);
      expect(stderr).toContain(`head.safetensors needs the model ${id}, which is in none of the folders of models`);
      expect(stderr).toContain(`${join(folder, 'models')}, `);
      expect(stderr).toContain(HOME);
      expect(stderr).toContain('`npm run fetch-model -- --from FILE`');
    }
    expect((await run('search', picture)).stderr).toContain(`${data} needs the model ${id}`);
    const { missing } = await json<ModelList>('models');
    expect(missing).toEqual([{ id, heads: ['head.safetensors'], datasets: [{ store: 'embeddings', dataset: data }] }]);
    expect(await succeed('models')).toContain(`${id}  missing\n  head   head.safetensors\n`);

    await succeed('fetch-model', '--from', join(elsewhere, 'brought.onnx'));
    expect(await succeed('predict', picture, '--json')).toBe(before);
  });
});

describe('a model', () => {
  it('is kept whatever the working directory, and models/ there comes first', async () => {
    const kept = await fetchNet(1, '--name', 'resnet18');
    expect(readdirSync(folder)).toEqual([]);
    expect(readdirSync(HOME).sort()).toEqual([`${kept.id}.json`, `${kept.id}.onnx`, 'resnet18.id'].sort());
    expect(await json('inspect')).toMatchObject({ id: kept.id });

    // As a clone has it: a file by the model's name, here without a card.
    await mkdir(join(folder, 'models'));
    await writeFile(join(folder, 'models', 'resnet18.onnx'), smallNetwork(2));
    const { id } = await json<{ id: string }>('inspect');
    expect(id).not.toBe(kept.id);
    expect(await json('inspect', '--model', id)).toMatchObject({ source: join(folder, 'models', 'resnet18.onnx') });
    expect(await json('inspect', '--model', kept.id)).toMatchObject({ id: kept.id });
    const { stderr } = await run('fetch-model', '--from', join(root, 'net1.onnx'), '--name', 'resnet18');
    expect(stderr).toContain(`resnet18 still stands for ${join(folder, 'models', 'resnet18.onnx')}, which comes first`);
  });

  it('is called as its file is, if it has no name of its own, and described in words', async () => {
    const { id } = await fetchNet(1);
    const stdout = await succeed('models');
    expect(stdout).toMatch(new RegExp(`^${id}  fp32  0\\.0 MB  net1\\n  .*${id}\\.onnx$`, 'm'));
    expect(stdout).toMatch(
      /^resnet18-bundled\.int8@\w+ {2}int8 {2}11\.3 MB {2}resnet18-bundled\.int8, used by default$/m,
    );
  });

  it('in a file of one’s own is replaced only by force, which is told', async () => {
    const { id } = await fetchNet(1, '--out', 'mine.onnx');
    const again = ['fetch-model', '--from', join(root, 'net2.onnx'), '--out', 'mine.onnx'];
    const refused = await run(...again);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(new RegExp(`mine\\.onnx is ${id}, which heads and stores may need.*--force`));
    const forced = await run(...again, '--force');
    expect(forced.code).toBe(0);
    expect(forced.stderr).toMatch(new RegExp(`mine\\.onnx was ${id}, which is replaced by network@`));
  });

  it('that is not there is refused with where it was looked for, and a name that is none', async () => {
    const missing = await run('embed', data, '--model', 'resnet50-v2');
    expect(missing.code).toBe(1);
    expect(missing.stderr).toContain(`neither a file in ${folder}, nor a name in ${join(folder, 'models')}, `);
    expect(missing.stderr).toContain('`npm run fetch-model -- --model resnet50 --weights IMAGENET1K_V2`');
    const odd = await run('fetch-model', '--from', join(root, 'net1.onnx'), '--name', '../x');
    expect([odd.code, odd.stderr]).toEqual([2, expect.stringContaining('--name is ../x; letters, digits')]);
  });
});

const onLinux = process.platform === 'linux' ? it : it.skip;
onLinux('without LASTLAYER_HOME, models lie in the cache folder of the system', async () => {
  const listed = async (env: NodeJS.ProcessEnv) => {
    const home = { LASTLAYER_HOME: undefined, HOME: root, XDG_CACHE_HOME: undefined };
    const { stdout } = await lastlayerProcess(['models', '--json'], folder, { ...home, ...env }).outcome;
    return (JSON.parse(stdout) as ModelList).folders.at(-1);
  };
  expect(await listed({})).toBe(join(root, '.cache', 'lastlayer', 'models'));
  expect(await listed({ XDG_CACHE_HOME: '/cache' })).toBe('/cache/lastlayer/models');
});
