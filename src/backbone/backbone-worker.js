// @ts-check
/**
 * A thread of a `BackbonePool`. It receives a `BackboneProgram`, then batches of pictures, which it answers, and finally null.
 * Plain JavaScript, so that it needs no loader when the sources run unbuilt.
 */
import { parentPort } from 'node:worker_threads';
import * as ort from 'onnxruntime-node';
import { fingerprintOf } from '../image/fingerprint.js';
import { pixelsOf } from '../image/square.js';

/**
 * @typedef {import('./pool.js').BackboneProgram} BackboneProgram
 * @typedef {import('./pool.js').Answer} Answer
 * @typedef {import('../image/square.js').Square} Square
 */

// A message, as workerData would keep the model in memory beside the session.
parentPort?.once('message', (/** @type {BackboneProgram} */ { graph, options, crop, map }) => {
  // The same call takes bytes or a path, but its types have one for each.
  const session =
    typeof graph === 'string'
      ? ort.InferenceSession.create(graph, options)
      : ort.InferenceSession.create(graph, options);
  // A failure is handled where the session is awaited.
  session.catch(() => undefined);
  parentPort?.on('message', async (/** @type {Uint8Array | Square[] | null} */ batch) => {
    if (batch instanceof Uint8Array) parentPort?.postMessage(await embed(batch, session, crop, map));
    else if (batch) parentPort?.postMessage(await describe(batch, session, crop));
    else await close(session);
  });
});

/**
 * @param {Uint8Array} pixels [N, crop, crop, 3]
 * @param {Promise<ort.InferenceSession>} session
 * @param {number} crop
 * @param {boolean} withMap
 * @returns {Promise<Answer>}
 */
async function embed(pixels, session, crop, withMap) {
  /** @type {'load' | 'run'} */
  let failed = 'load';
  try {
    const loaded = await session;
    failed = 'run';
    const input = new ort.Tensor('uint8', pixels, [pixels.length / (3 * crop * crop), crop, crop, 3]);
    const mapOutput = loaded.outputNames.at(-1) ?? '';
    const wanted = withMap ? ['embedding', mapOutput] : ['embedding'];
    const outputs = await loaded.run({ [loaded.inputNames[0] ?? 'input']: input }, wanted);
    const embedding = outputs.embedding;
    if (!(embedding?.data instanceof Float32Array)) throw new Error('its output embedding is not float32');
    const map = withMap ? outputs[mapOutput] : undefined;
    if (!(map?.data instanceof Float32Array)) return { embedding: embedding.data };
    return { embedding: embedding.data, map: { data: map.data, dims: map.dims } };
  } catch (error) {
    return { failed, reason: error instanceof Error ? error.message : String(error) };
  }
}

/**
 * @param {Square[]} squares
 * @param {Promise<ort.InferenceSession>} session
 * @param {number} crop
 * @returns {Promise<Answer>} also with the fingerprints
 */
async function describe(squares, session, crop) {
  const pixels = new Uint8Array(squares.length * 3 * crop * crop);
  const fingerprints = squares.map((square, i) => {
    const own = pixelsOf(square, crop);
    pixels.set(own, i * 3 * crop * crop);
    return fingerprintOf(own);
  });
  const answer = await embed(pixels, session, crop, false);
  return answer.failed === undefined ? { ...answer, fingerprints } : answer;
}

/** @param {Promise<ort.InferenceSession>} session */
async function close(session) {
  await session.then(
    (loaded) => loaded.release(),
    () => undefined,
  );
  parentPort?.close();
}
