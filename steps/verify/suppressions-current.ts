import { ours, passIf, type VerifyCheck } from './check.ts'

/** What was accepted until a day is not accepted after it. */
export const suppressionsCurrent: VerifyCheck = {
  id: 'suppressions.current',
  title: 'No accepted risk is past its date',
  line: 7,
  threat: 'command injection',
  severity: 'high',
  kind: 'static',
  remedy:
    'Look at the risk again: remove the entry from suppress in deployment.yaml, or give it a new date and a reason.',
  refs: { seed: 'Before Production' },
  later: true,
  async run(world) {
    ours(world)
    const today = world.now.toISOString().slice(0, 10)
    const { suppressions } = world
    const ended = suppressions.filter(one => one.until < today)
    return passIf(
      ended.length === 0,
      `deployment.yaml: ${suppressions.length} suppressions${ended.length === 0 ? '' : `; ended: ${ended.map(one => `${one.check} on ${one.until}`).join(', ')}`}`,
    )
  },
  sabotage: {
    weaken(twin) {
      const entry = '  - check: ports.neighbours\n    reason: "for the move only"\n    until: "2020-01-31"\n'
      twin.write('deployment.yaml', `${twin.read('deployment.yaml')}suppress:\n${entry}`)
    },
  },
}
