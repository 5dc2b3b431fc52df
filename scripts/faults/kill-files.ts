import { createReadStream } from 'node:fs';
import { cp, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';
import { sha256Of } from '../../src/util/hash.js';
import { sum } from '../../src/util/math.js';
import { smallNetwork } from '../../test/support/small-network.js';
import type { Random } from '../support/random.js';
import { run, runWhole, type Moment, type Run } from './command.js';
import { LARGE, modelFlags, type Report, type Scenario, type Setting } from './scenario.js';

const CREATED = /"created":\s?"[^"]*"/;

/** A command, and the files that it writes into its working directory. */
interface Writer {
  args: readonly string[];
  files: readonly string[];
}

/** Kills `train-head`; see {@link killWriter}. */
export const killTrainHead: Scenario = async (setting) => {
  await embedHere(setting);
  return killWriter(setting, { args: ['train-head'], files: ['head.safetensors'] });
};

/** Kills `export` to every format. */
export const killExport: Scenario = async (setting) => {
  await embedHere(setting);
  await runWhole(['train-head'], setting.folder);
  const formats = {
    onnx: ['classifier.onnx'],
    safetensors: ['fc.safetensors'],
    parquet: ['embeddings.parquet'],
    npy: ['embeddings.npy', 'embeddings.csv'],
    json: ['embeddings.json'],
  };
  const reports: Report[] = [];
  const rounds = Math.ceil(setting.rounds / Object.keys(formats).length);
  for (const [format, files] of Object.entries(formats)) {
    reports.push(await killWriter({ ...setting, rounds }, { args: ['export', '--format', format], files }));
  }
  return sumOf(reports);
};

/** Kills `fetch-model` from a file and from a server. */
export const killFetchModel: Scenario = async (setting) => {
  const { folder } = setting;
  const source = setting.model ?? join(folder, 'source.onnx');
  if (!setting.model) await writeFile(source, smallNetwork(1, LARGE));
  const out = { files: ['models/fetched.onnx', 'models/fetched.json'] };
  const args = (from: string) => ['fetch-model', '--from', from, '--out', 'models/fetched.onnx', '--force'];
  const rounds = Math.ceil(setting.rounds / 2);
  const fromFile = await killWriter({ ...setting, rounds }, { args: args(source), ...out });
  const { url, stop } = await serveSlowly(source);
  try {
    return sumOf([fromFile, await killWriter({ ...setting, rounds }, { args: args(url), ...out })]);
  } finally {
    await stop();
  }
};

/** Kills `quantize`. */
export const killQuantize: Scenario = async (setting) => {
  const { folder, dataset } = setting;
  const model = join(folder, 'float32.onnx');
  if (setting.model) await cp(setting.model, model);
  else await writeFile(model, smallNetwork(1, LARGE));
  const args = ['quantize', '--model', model, '--calibrate', dataset, '--pictures', '8'];
  args.push('--out', 'models/int8.onnx', '--force');
  return killWriter(setting, { args, files: ['models/int8.onnx', 'models/int8.json'] });
};

/**
 * Kills a command again and again while older files of the same names exist. After each kill, every file must be the old one or
 * the new one, byte for byte; only the card of a model may be missing. After a last undisturbed run, all files must be new, and
 * no temporary file may be left.
 */
async function killWriter(setting: Setting, { args, files }: Writer): Promise<Report> {
  const { folder, rounds, random } = setting;
  const whole = await runWhole(args, folder);
  const names = await allFilesIn(folder);
  const fresh = await contentsOf(folder, files);
  let [kept, reach] = [0, 1];
  for (let kills = 0; kills < rounds;) {
    for (const file of files) await writeFile(join(folder, file), oldContent(file));
    const { code, stderr } = await run(args, { folder, kill: lateMoment(whole, reach, random) });
    // If the kill came too late, try earlier ones.
    reach = code === 0 ? 0.8 * reach : 1;
    const now = await contentsOf(folder, files);
    for (const [i, file] of files.entries()) {
      const isOld = now[i] === oldContent(file);
      const isMissingCard = now[i] === undefined && file.startsWith('models/') && file.endsWith('.json');
      if (!isOld && now[i] !== fresh[i] && !isMissingCard) throw new Error(`${file} is torn after a kill.`);
      if (isOld) kept++;
    }
    if (code !== null && code !== 0) throw new Error(`${args.join(' ')} ended with ${code}: ${stderr}`);
    if (code !== null) continue;
    kills++;
    setting.onProgress?.(`${args.slice(0, 3).join(' ')}: ${kills} of ${rounds} kills`);
  }
  await runWhole(args, folder);
  const last = await contentsOf(folder, files);
  if (files.some((_, i) => last[i] !== fresh[i])) throw new Error(`${args.join(' ')} no longer writes the same files.`);
  const left = (await allFilesIn(folder)).filter((name) => !names.includes(name));
  if (left.length > 0) throw new Error(`${args.join(' ')} leaves ${left.join(', ')}.`);
  return {
    faults: rounds,
    seen: `${kept} files were old, the others new; no temporary file was left`,
  };
}

/** A moment in the last quarter of the given fraction of a run: files are written late. */
function lateMoment({ took, changes }: Pick<Run, 'took' | 'changes'>, reach: number, random: Random): Moment {
  const fraction = reach * random.between(0.75, 1);
  return random.chance(0.5)
    ? { afterMs: Math.round(took * fraction) }
    : { afterChanges: 1 + Math.floor(changes * fraction) };
}

function oldContent(file: string): string {
  return `the old ${file}`;
}

/** The text of short files, the digest of others without their creation time; undefined for missing files. */
async function contentsOf(folder: string, files: readonly string[]): Promise<(string | undefined)[]> {
  return Promise.all(
    files.map(async (file) => {
      const path = join(folder, file);
      if (!(await stat(path).catch(() => undefined))) return undefined;
      const bytes = await readFile(path);
      if (bytes.length < 100) return bytes.toString();
      const timeless = bytes.toString('latin1').replace(CREATED, '');
      return sha256Of(Buffer.from(timeless, 'latin1'));
    }),
  );
}

/** All files in a folder, except those of the store. */
async function allFilesIn(folder: string): Promise<string[]> {
  const names = await readdir(folder, { recursive: true });
  return names.filter((name) => !name.startsWith('embeddings/'));
}

async function embedHere(setting: Setting): Promise<void> {
  await mkdir(setting.folder, { recursive: true });
  await runWhole(['embed', setting.dataset, ...modelFlags(setting)], setting.folder);
}

function sumOf(reports: readonly Report[]): Report {
  return {
    faults: sum(reports.map(({ faults }) => faults)),
    seen: reports.map(({ seen }) => seen).join('; '),
  };
}

/** Serves a file in small pieces, so that there is time to kill its reader. */
async function serveSlowly(path: string): Promise<{ url: string; stop: () => Promise<void> }> {
  const { size } = await stat(path);
  const server = createServer((request, response) => {
    const start = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
    if (start >= size) {
      response.writeHead(416, { 'Content-Range': `bytes */${size}` }).end();
      return;
    }
    response.writeHead(start > 0 ? 206 : 200, { ETag: '"fixed"', 'Content-Length': size - start });
    createReadStream(path, { start, highWaterMark: 1 << 16 }).pipe(response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/${dirname(path).length}.onnx`,
    stop: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
