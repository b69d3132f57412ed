import { passIf, type VerifyCheck } from './check.ts'

/** restart: unless-stopped brings it back every time, and nobody notices. */
export const containerStable: VerifyCheck = {
  id: 'container.stable',
  title: 'The gateway does not keep dying',
  line: 3,
  threat: 'resource exhaustion',
  severity: 'medium',
  kind: 'live',
  remedy: 'docker compose logs says why; out of memory: raise limits.memory in deployment.yaml.',
  refs: { seed: 'Docker Security Hardening', cis: '5.15' },
  async run(world) {
    const { State, RestartCount } = await world.container()
    const age = world.now.getTime() - new Date(State.StartedAt).getTime()
    const recently = RestartCount > 0 && age < 86_400_000
    return passIf(
      !recently && !State.OOMKilled,
      `docker inspect: ended by itself ${RestartCount} times, runs since ${State.StartedAt.slice(0, 19)}Z${State.OOMKilled ? ', ran out of memory' : ''}`,
    )
  },
  sabotage: {
    weaken(twin) {
      twin.service({ restart: 'on-failure:1' })
      twin.startWith(
        '[ -e "$OPENCLAW_STATE_DIR/second" ] || { touch "$OPENCLAW_STATE_DIR/second"; exit 1; };',
      )
    },
  },
}
