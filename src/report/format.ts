import type { Report } from './report.ts'

/** Every format of `verify --format`. */
export const FORMATS = ['text', 'json', 'sarif', 'junit', 'markdown', 'html'] as const
export type Format = (typeof FORMATS)[number]

/** How `text` is shown; the other formats are the same for everybody. */
export interface FormatOptions {
  colour: boolean
  verbose: boolean
}

/** The report in one format, newline at the end. Loads that format alone: a check of files must not wait for a page. */
export async function formatReport(report: Report, format: Format, options: FormatOptions): Promise<string> {
  switch (format) {
    case 'text':
      return (await import('./text.ts')).textReport(report, options)
    case 'json':
      return (await import('./json.ts')).jsonReport(report)
    case 'sarif':
      return (await import('./sarif.ts')).sarifReport(report)
    case 'junit':
      return (await import('./junit.ts')).junitReport(report)
    case 'markdown':
      return (await import('./markdown.ts')).markdownReport(report)
    case 'html':
      return (await import('./html.ts')).htmlReport(report)
  }
}
