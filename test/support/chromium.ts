import { existsSync } from 'node:fs';

const USUAL = [
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
];

/** A Chromium, named by $CHROMIUM or at one of the usual places; undefined where there is none. */
export const CHROMIUM = [process.env.CHROMIUM ?? '', ...USUAL].find((path) => path !== '' && existsSync(path));
