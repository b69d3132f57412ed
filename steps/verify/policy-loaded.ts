import { parseJson } from '../../src/json.ts'
import { passIf, type Twin, type VerifyCheck } from './check.ts'
import { at } from './tree.ts'

/** OpenClaw ignores a file it dislikes and keeps the old policy: the file looks right, and is not in force. */
export const policyLoaded: VerifyCheck = {
  id: 'policy.loaded',
  title: 'The gateway runs the policy that is in the file',
  line: 3,
  threat: 'command injection',
  severity: 'high',
  kind: 'live',
  remedy: 'Run create-openclaw-secure . again; the gateway’s log says what it dislikes.',
  refs: { seed: 'Docker Security Hardening', openclaw: 'Configuration: hot reload' },
  async run(world) {
    const lines = (await world.logs()).split('\n')
    const refused = lines.findLastIndex(line => line.includes('config reload skipped'))
    const taken = lines.findLastIndex(line => line.includes('config change detected; evaluating reload'))
    // A file that was put back to what the gateway runs is no change, and nothing is logged about it.
    const written = world.file(world.layout.configFile)?.modified
    const when = new Date(String(at(parseJson(lines[refused] ?? ''), 'time')))
    const before = written !== undefined && when < written
    return passIf(
      refused <= taken || before,
      refused <= taken || before
        ? 'docker logs: openclaw.json as it is was not refused'
        : `docker logs: the last change of openclaw.json was refused at ${when.toISOString()}, and the gateway goes on with what it had`,
    )
  },
  sabotage: { in: 'unguarded', spoil: writeWhatIsRefused },
}

/** One of the seed's own keys, which OpenClaw does not know. */
export async function writeWhatIsRefused(twin: Twin): Promise<void> {
  twin.policy(['security', 'shell'], { policy: 'sandboxed' })
  await twin.untilLogged(/config reload skipped/)
}
