/** Problems of a data set. */
export { checkData, type CheckDataOptions, type CheckProgress, type DataCheck } from '../check/check-data.js';
export type { Finding, Issue } from '../check/finding.js';
