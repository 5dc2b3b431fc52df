#!/usr/bin/env node
// @ts-check
/**
 * Starts the command line. Node reads the size of its pool of threads, in which files are read and pictures decoded, when the
 * pool first gets work. In an ES module that has happened already, so this is CommonJS.
 */
const { existsSync } = require('node:fs');
const { availableParallelism } = require('node:os');
const { join } = require('node:path');
const { env } = require('node:process');

/** Node's own default. */
const FEWEST = 4;

env.UV_THREADPOOL_SIZE ??= String(Math.max(FEWEST, availableParallelism()));

// The package has JavaScript. A clone has TypeScript alone, which tsx loads.
const isBuilt = existsSync(join(module.path, 'cli.js'));
// @ts-expect-error It has no types.
if (!isBuilt) require('tsx');
void import(isBuilt ? './cli.js' : './cli.ts');
