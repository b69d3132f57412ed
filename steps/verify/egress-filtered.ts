import { ours, passIf, unknown, type VerifyCheck } from './check.ts'
import { NotApplicable } from './world.ts'

/** Asked of the proxy itself, by the gateway, with what no list holds: names that nobody has, and addresses. */
export const egressFiltered: VerifyCheck = {
  id: 'egress.filtered',
  title: 'The proxy refuses hosts that nobody named, addresses, and whatever is not HTTPS',
  line: 3,
  threat: 'network exfiltration',
  severity: 'high',
  kind: 'live',
  remedy: 'create-openclaw-secure egress list shows what is open; run create-openclaw-secure . to close it.',
  refs: { seed: '3. Sandbox Isolation' },
  async run(world) {
    if (ours(world).egress === 'open') throw new NotApplicable('there is no proxy: egress.mode is open')
    const answers = Object.entries(await world.proxied())
    const silent = answers.filter(([, status]) => status === 0)
    const open = answers.filter(([, status]) => status !== 403 && status !== 0)
    const evidence = `asked the proxy from the gateway: ${answers.map(([target, status]) => `${target} ${status === 0 ? 'no answer' : status}`).join(', ')}`
    if (open.length > 0) return passIf(false, evidence)
    return silent.length > 0 ? unknown(evidence) : passIf(answers.length > 0, evidence)
  },
  sabotage: {
    weaken(twin) {
      const policy = twin.read('border/squid.conf')
      twin.write('border/squid.conf', policy.replace(/^http_port .*$/m, '$&\nhttp_access allow all'), 0o400)
    },
  },
}
