export { checkData } from './check-data.js';
export type { CheckDataOptions, CheckProgress, DataCheck } from './check-data.js';
export { ISSUE_MEANINGS, ISSUES } from './finding.js';
export type { Finding, Issue } from './finding.js';
export { toManifest } from './manifest.js';
export { nameOf } from './name-of.js';
