import { expectSandbox, passIf, type VerifyCheck } from './check.ts'

/** A list of words in a command is no list of programs: a shell has a thousand ways to write one. The kernel is asked. */
export const sandboxPrograms: VerifyCheck = {
  id: 'sandbox.programs',
  title: 'No program can be started in the sandbox but the listed ones',
  line: 3,
  threat: 'command injection',
  severity: 'medium',
  kind: 'live',
  remedy:
    'Run create-openclaw-secure . again: it builds the sandbox’s image from agent.programs in deployment.yaml.',
  refs: { seed: '6. Command Restrictions' },
  async run(world) {
    expectSandbox(world)
    const { missing, extra } = await world.programs()
    const some = (names: readonly string[]) => names.slice(0, 5).join(', ') || 'none'
    return passIf(
      missing.length + extra.length === 0,
      `tried as the sandbox’s user: on the list and not to be started: ${some(missing)}; not on it and to be started: ${some(extra)}${extra.length > 5 ? ` and ${extra.length - 5} more` : ''}`,
    )
  },
  sabotage: {
    weaken: twin =>
      twin.write(
        'deployment.yaml',
        twin.read('deployment.yaml').replace(/^(\s*- )"git"$/m, '$1"a-program-that-is-not-there"'),
      ),
  },
}
