import { expectSandbox, passIf, type VerifyCheck } from './check.ts'

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
    expectSandbox(world)
    // On a rootless engine user 0 inside is nobody outside: it has to be whom the container runs as.
    const [user] = (await world.sandbox()).Config.User.split(':')
    const came = await world.entered()
    if ('refused' in came) return passIf(false, `ssh from the gateway: ${came.refused}: ${came.said}`)
    return passIf(String(came.uid) === user, `ssh from the gateway: in, as user ${came.uid}`)
  },
  sabotage: {
    weaken: twin =>
      twin.write(
        'config/sandbox_known_hosts',
        twin.read('config/sandbox_known_hosts').replace(/(ssh-ed25519 \S{30})\S{8}/, '$1AAAAAAAA'),
        0o400,
      ),
  },
}
