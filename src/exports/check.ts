/** Problems of a data set. */
export {
  checkData,
  type CheckDataOptions,
  type ClassCount,
  type CheckProgress,
  type DataCheck,
} from '../check/check-data.js';
export { ISSUES, type Finding, type Issue } from '../check/finding.js';
export type { ListedPicture } from '../store/dataset-rows.js';
