import { ours, passIf, type VerifyCheck } from './check.ts'
import { NotApplicable } from './world.ts'

/** A sandbox that nobody comes into is safe, and of no use: the agent's next step would be to ask for less safety. */
export const sandboxEntered: VerifyCheck = {
  id: 'sandbox.entered',
  title: 'The sandbox shows the pinned key, and takes the gateway’s, without privileges there',
  line: 3,
  threat: 'command injection',
  severity: 'high',
  kind: 'live',
  remedy:
    'docker compose logs sandbox says why; create-openclaw-secure . writes both keys’ public halves anew.',
  refs: { seed: '3. Sandbox Isolation' },
  async run(world) {
    if (ours(world).posture !== 'coding') throw new NotApplicable('the agent has no commands, and no sandbox')
    await world.sandbox()
    const came = await world.entered()
    if ('refused' in came) return passIf(false, `ssh from the gateway: ${came.refused}`)
    return passIf(came.uid > 0, `ssh from the gateway: in, as user ${came.uid}`)
  },
  sabotage: {
    weaken: twin =>
      twin.write(
        'config/sandbox_known_hosts',
        twin.read('config/sandbox_known_hosts').replace(/AAAA\S{20}/, 'AAAAC3NzaC1lZDI1NTE5AAAA'),
        0o400,
      ),
  },
}
