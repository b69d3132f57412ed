import { resolve } from 'node:path'
import { closesAt } from '../../src/deployment/egress.ts'
import { ours, passIf, unknown, type VerifyCheck } from './check.ts'
import { NotApplicable, type World } from './world.ts'

/** Asked of the proxy itself, by the gateway, with what no list holds: names that nobody has, and addresses. */
export const egressFiltered: VerifyCheck = {
  id: 'egress.filtered',
  title: 'The proxy refuses hosts that nobody named, addresses, and whatever is not HTTPS',
  line: 3,
  threat: 'network exfiltration',
  severity: 'high',
  kind: 'live',
  remedy:
    'create-openclaw-secure egress list shows what is open, and egress close ends what is open for a while. Otherwise run create-openclaw-secure . again.',
  refs: { seed: '3. Sandbox Isolation' },
  async run(world) {
    if (ours(world).egress === 'open') throw new NotApplicable('there is no proxy: egress.mode is open')
    const answers = Object.entries(await world.proxied())
    const silent = answers.filter(([, status]) => status === 0)
    const open = answers.filter(([, status]) => status !== 403 && status !== 0)
    const evidence = `asked the proxy from the gateway: ${answers.map(([target, status]) => `${target} ${status === 0 ? 'no answer' : status}`).join(', ')}${await opening(world)}`
    if (open.length > 0) return passIf(false, evidence)
    if (silent.length > 0) return unknown(evidence)
    const isRead = await world.rulesAreRead()
    return passIf(
      answers.length > 0 && isRead,
      `${evidence}; border/squid.conf is ${isRead ? 'what it has read' : 'not what it has read'}`,
    )
  },
  sabotage: {
    weaken(twin) {
      const rule = 'acl anybody dstdomain nobody-named-this.invalid\nhttp_access allow anybody'
      const policy = twin.read('border/squid.conf')
      twin.write('border/squid.conf', policy.replace(/^http_port .*$/m, `$&\n${rule}`), 0o400)
    },
  },
}

/** What somebody has opened for a while, in words. */
async function opening({ file, text, layout, now }: World): Promise<string> {
  const path = resolve(layout.border, 'open-until')
  const until = file(path) === undefined ? undefined : closesAt(await text(path), now)
  return until === undefined ? '' : `; open for a while, until ${until.toISOString()} (egress open)`
}
