export { makeReport } from './report.js';
export type { Report, ReportOptions } from './report.js';
