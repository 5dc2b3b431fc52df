// @ts-check
/** The process that isolated.ts starts: receives one job after another, and answers each. */
import process from 'node:process';
import { headerOf, render } from './render.js';

/**
 * @typedef {{ image: Uint8Array, recipe: import('./render.js').Recipe | undefined }} Job without a recipe, the header is wanted
 * @typedef {{ header: import('./render.js').Header } | { pixels: Uint8Array } | { reason: string }} Answer
 */

process.on('message', async (/** @type {Job} */ { image, recipe }) => {
  /** @type {Answer} */
  let answer;
  try {
    answer = recipe ? { pixels: await render(image, recipe) } : { header: await headerOf(image) };
  } catch (error) {
    answer = { reason: error instanceof Error ? error.message : String(error) };
  }
  process.send?.(answer);
});

// The parent is gone. A normal exit would wait for decoding threads, maybe forever.
process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'));
// Without process groups, Ctrl-C comes here too; the parent decides what it means.
process.on('SIGINT', () => undefined);
