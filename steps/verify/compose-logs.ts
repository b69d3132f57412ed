import { passIf, type VerifyCheck } from './check.ts'

/** Docker keeps logs forever unless told otherwise. */
export const composeLogs: VerifyCheck = {
  id: 'compose.logs',
  title: 'docker-compose.yml rotates the container’s log',
  line: 6,
  threat: 'resource exhaustion',
  severity: 'medium',
  kind: 'static',
  remedy:
    'Set max-size and max-file under logging in docker-compose.yml, or run create-openclaw-secure . again.',
  refs: { seed: 'Monitoring & Auditing' },
  async run(world) {
    const { logging } = await world.service()
    return passIf(
      logging !== undefined && rotates(logging.driver, logging.options),
      `docker-compose.yml: ${logging === undefined ? 'no logging, so Docker’s default, which never rotates' : `log driver ${logging.driver}, ${JSON.stringify(logging.options)}`}`,
    )
  },
  sabotage: { weaken: twin => twin.service({ logging: undefined }) },
}

/** Whether a log driver with these options keeps its log small by itself. */
export function rotates(driver: string, options: Readonly<Record<string, unknown>>): boolean {
  return driver === 'json-file'
    ? options['max-size'] !== undefined && options['max-file'] !== undefined
    : ['local', 'journald'].includes(driver)
}
