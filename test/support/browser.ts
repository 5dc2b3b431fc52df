import { CHROMIUM } from './chromium.js';

export { CHROMIUM };

/** Runs a group of tests where there is a browser, and shows them as skipped where there is none. */
export const describeWithBrowser = CHROMIUM === undefined ? describe.skip : describe;
