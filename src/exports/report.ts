/** The HTML report. */
export { makeReport, type Report, type ReportOptions } from '../report/report.js';
