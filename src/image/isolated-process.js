// @ts-check
/** The process of isolated.ts: is sent one job after another, and answers each. */
import process from 'node:process';
import { headerOf, render } from './render.js';

/**
 * @typedef {{ image: Uint8Array, recipe: import('./render.js').Recipe | undefined }} Job the header is wanted where there is no recipe
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

// Whoever asked is gone. An exit would wait for threads that decode, maybe forever.
process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'));
// Where there are no groups of processes, Ctrl-C comes here too; what it means, whoever asked decides.
process.on('SIGINT', () => undefined);
