import type { Answers } from '../deployment/answers.ts'
import { allowedHosts, type Decision, localProviders } from '../deployment/egress.ts'

/** What stands in `border/squid.conf.hbs` as a reason, in words for a person. */
const REASONS: Record<string, string> = {
  listed: 'it is on the list',
  'local-provider': 'a provider is there',
  'open-for-a-while': 'it is not on the list, and the way out is open for a while',
  'only-tls-tunnels': 'only tunnels for HTTPS are let through',
  'only-port-443': 'only port 443 is let through',
  'no-full-host-name': 'an address or an incomplete name is not let through, only a full host name',
  'not-on-the-list': 'it is not on the list',
  'leads-to-an-address-that-is-not-public': 'its name leads to an address that is not public',
}

/** What the proxy decided about a target, and what came of it, in a line. */
export function decisionInWords(target: string, decision: Decision | undefined): string {
  if (decision === undefined) return `${target}: unknown; the proxy has written nothing about it`
  const { allowed, reason, status } = decision
  const became = !allowed ? '' : status === 200 ? '; it answers' : '; it did not answer'
  return `${target}: ${allowed ? 'allowed' : 'refused'}: ${REASONS[reason] ?? reason}${became}`
}

/** Who may be reached, and why, for a person. */
export function listInWords(answers: Answers, until: Date | undefined, now: Date, edited: boolean): string {
  const hosts: [string, string][] = [
    ...allowedHosts(answers).map(({ host, because }): [string, string] => [host, because]),
    ...localProviders(answers).map(({ address, port, scheme }): [string, string] => [
      `${address}:${port}`,
      `provider, ${scheme}`,
    ]),
  ]
  const width = Math.max(0, ...hosts.map(([host]) => host.length))
  return [
    hosts.length === 0
      ? 'No host may be reached: there is no provider, and none is allowed.'
      : 'HTTPS (port 443) to these hosts, and nothing else:',
    ...hosts.map(([host, because]) => `  ${host.padEnd(width)}  ${because}`),
    ...(until === undefined ? [] : [`${openInWords(until, now)}. End it now: egress close`]),
    ...(edited
      ? ['deployment.yaml asks for something else, which is not set up: create-openclaw-secure .']
      : []),
  ].join('\n')
}

/** The row of `status`. */
export function wayOutInWords(answers: Answers, until: Date | undefined, now: Date): string {
  if (answers.egress === 'open') return 'open: everything can be reached (egress.mode)'
  if (until !== undefined) return openInWords(until, now)
  const count = allowedHosts(answers).length + localProviders(answers).length
  return `closed, but for ${count} ${count === 1 ? 'host' : 'hosts'} (egress list)`
}

function openInWords(until: Date, now: Date): string {
  const minutes = Math.ceil((until.getTime() - now.getTime()) / 60_000)
  return `open until ${until.toISOString().slice(0, 19)}Z (${minutes} min) for every public host`
}
