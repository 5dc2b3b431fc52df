// @ts-check
/** What each process of isolated.ts runs: receives one job after another, and answers each. */
import process from 'node:process';
import { headerOf, render } from './render.js';

/**
 * @typedef {object} Job
 * @property {Uint8Array} image
 * @property {import('./render.js').Recipe | undefined} recipe without it, the header is wanted
 * @property {number} memory the most bytes that a decoder in WebAssembly may have
 *
 * @typedef {{ header: import('./render.js').Header } | { pixels: Uint8Array }} Success
 * @typedef {Success | { reason: string, isShortOfMemory: boolean }} Answer
 */

/** @type {number} */
let most = Infinity;
let isShortOfMemory = false;

/** @typedef {{ buffer: ArrayBuffer, grow: (pages: number) => number }} Memory */
const scope = /** @type {{ WebAssembly: { Memory: { prototype: Memory } } }} */ (/** @type {unknown} */ (globalThis));
const memory = scope.WebAssembly.Memory.prototype;
const { grow } = memory;
// libheif grows its memory from here. How much it needs is up to parts of the file, whatever the header says of the whole.
memory.grow = function (/** @type {number} */ pages) {
  if (this.buffer.byteLength + 65_536 * pages <= most) return grow.call(this, pages);
  isShortOfMemory = true;
  throw new RangeError('more memory than the picture may have');
};

process.on('message', async (/** @type {Job} */ { image, recipe, memory }) => {
  most = memory;
  isShortOfMemory = false;
  /** @type {Answer} */
  let answer;
  try {
    answer = recipe ? { pixels: await render(image, recipe) } : { header: await headerOf(image) };
  } catch (error) {
    answer = { reason: error instanceof Error ? error.message : String(error), isShortOfMemory };
  }
  process.send?.(answer);
  // Frees the decoder's memory, which otherwise stays until long after the next picture.
  globalThis.gc?.();
});

// The parent is gone. A normal exit would wait for decoding threads, maybe forever.
process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'));
// Without process groups, Ctrl-C comes here too; the parent decides what it means.
process.on('SIGINT', () => undefined);
