import { passIf, type VerifyCheck } from './check.ts'

/** A backup that was never restored is a hope. */
export const backupRestored: VerifyCheck = {
  id: 'backup.restored',
  title: 'A backup was restored and the restored gateway worked',
  line: 9,
  threat: 'resource exhaustion',
  severity: 'medium',
  kind: 'static',
  remedy:
    'This version has no backup command yet. By hand: openclaw backup create --verify in the container, and restore it into an empty folder on another port.',
  refs: { seed: 'Before Production' },
  later: true,
  async run(world) {
    const drill = world
      .journal()
      .findLast(event => event.procedure === 'restore-drill' && event.event === 'done')
    return passIf(
      drill !== undefined,
      drill === undefined
        ? 'not set up: the journal knows no restore drill'
        : `the journal has a restore drill at ${drill.at}`,
    )
  },
  sabotage: {},
}
