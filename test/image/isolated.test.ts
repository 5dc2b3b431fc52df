import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { Isolated } from '../../src/image/isolated.js';
import { tile } from '../support/heic.js';

const command = promisify(execFile);
const heic = await tile('left');
const recipe = { background: '#ffffff', hasAlpha: false, isCmyk: false, seconds: 60 };

/** An SVG of rectangles, 2 to the power of `levels` of them. */
function rectangles(levels: number): Buffer {
  const groups = Array.from({ length: levels }, (_, i) => {
    return `<g id="a${i + 1}"><use href="#a${i}"/><use href="#a${i}"/></g>`;
  });
  const rectangle = '<rect id="a0" width="16" height="16"/>';
  return Buffer.from(
    `<svg xmlns="http://www.w3.org/2000/svg" width="16" height="16"><defs>${rectangle}${groups.join('')}</defs>` +
      `<use href="#a${levels}"/></svg>`,
  );
}

/** The decoders that this process has started and that have not ended. */
async function decoders(): Promise<string[]> {
  const found = await command('pgrep', ['-P', String(process.pid), '-f', 'isolated-process']).catch(() => undefined);
  return found?.stdout.trim().split('\n') ?? [];
}

describe('a pool of decoders', () => {
  // Other tests may have run in this process.
  const before = new Set<string>();
  const started = async () => (await decoders()).filter((id) => !before.has(id));

  beforeEach(async () => {
    for (const id of await decoders()) before.add(id);
  });

  it('decodes HEIC in as many processes as it may, and SVG in one after another', async () => {
    const pool = new Isolated({ processes: 3 });
    await Promise.all([1, 2, 3].map(() => pool.render(rectangles(2), recipe, 16 * 16 * 4)));
    expect(await started()).toHaveLength(1);
    const pixels = await Promise.all(Array.from({ length: 9 }, () => pool.render(heic, recipe, 64 * 64 * 3)));
    expect(await started()).toHaveLength(3);
    expect(new Set(pixels.map((bytes) => bytes.join()))).toHaveProperty('size', 1);
  });

  it('decodes no more at once than fit into its memory', async () => {
    const pool = new Isolated({ processes: 4, memory: 2048 });
    // Of 48 megapixels, by their headers: two of them fit.
    await Promise.all(Array.from({ length: 6 }, () => pool.render(heic, recipe, 48e6 * 3)));
    expect((await started()).length).toBeLessThanOrEqual(2);
  });

  it('loses only the picture that takes too long', async () => {
    const pool = new Isolated({ processes: 2 });
    const [slow, other] = await Promise.allSettled([pool.header(heic, 0.001), pool.header(heic, 60)]);
    expect(String(slow.status === 'rejected' && slow.reason)).toContain('takes longer than 0.001 s to decode');
    expect(other).toMatchObject({ status: 'fulfilled', value: { width: 64, height: 64 } });
  });

  it('loses only the picture whose process dies', async () => {
    const pool = new Isolated({ processes: 2 });
    const settled = Promise.allSettled([pool.render(rectangles(26), recipe, 1024), pool.header(heic, 60)]);
    let ids: string[] = [];
    while (ids.length === 0) ids = await started();
    for (const id of ids) process.kill(Number(id), 'SIGKILL');
    const [killed, next] = await settled;
    expect(String(killed.status === 'rejected' && killed.reason)).toContain('crashed its decoder (SIGKILL)');
    expect(next).toMatchObject({ status: 'fulfilled', value: { width: 64, height: 64 } });
  });
});
