import { isIPv4 } from 'node:net'
import { SERVICE } from '../docker/compose.ts'
import { Exit, type Problem, ToolError } from '../errors.ts'
import type { Answers, Provider } from './answers.ts'
import { INSIDE } from './layout.ts'
import { LISTENS } from './network.ts'

/**
 * The border of a deployment: whom Squid lets out (`egress`), and what HAProxy hands in (`ingress`). Pure: nothing is
 * looked up. The containers and networks are in `composition.ts`.
 */
export type EgressAnswers = Pick<Answers, 'name' | 'providers' | 'egress' | 'egressHosts' | 'egressResolver'>

/** A host that may be reached on port 443, and why. `*.example.org` is every name below example.org. */
export interface AllowedHost {
  host: string
  because: string
}

/** A provider that is named by an address: that address and that port may be reached, and nothing else there. */
export interface LocalProvider {
  address: string
  port: number
  scheme: 'http' | 'https'
}

/** Where OpenClaw 2026.9.6 finds the providers it knows by name (the base URLs in its own extensions). */
const PROVIDER_HOSTS: Record<string, readonly string[]> = {
  anthropic: ['api.anthropic.com'],
  google: ['generativelanguage.googleapis.com'],
  huggingface: ['router.huggingface.co'],
  minimax: ['api.minimax.io'],
  nvidia: ['integrate.api.nvidia.com'],
  openai: ['api.openai.com'],
  openrouter: ['openrouter.ai'],
  together: ['api.together.xyz'],
  xai: ['api.x.ai'],
}

/** What a person may allow by one word: the hosts of a channel, as its makers document them. */
export const PRESETS: Record<string, readonly string[]> = {
  discord: ['discord.com', '*.discord.gg', 'cdn.discordapp.com', 'media.discordapp.net'],
  googlechat: ['chat.googleapis.com', 'oauth2.googleapis.com', 'www.googleapis.com'],
  line: ['api.line.me', 'api-data.line.me'],
  msteams: ['login.microsoftonline.com', 'login.botframework.com', 'smba.trafficmanager.net'],
  slack: ['slack.com', '*.slack.com'],
  telegram: ['api.telegram.org'],
  whatsapp: ['web.whatsapp.com', '*.whatsapp.net'],
}

/**
 * Addresses that are not the public Internet: IANA's special-purpose registries, OpenClaw's own list
 * (security/network-proxy.md) and what clouds put elsewhere. In IPv6 only 2000::/3 is handed out for public use.
 */
const NON_PUBLIC: readonly string[] = [
  ...['0.0.0.0/8', '10.0.0.0/8', '100.64.0.0/10', '127.0.0.0/8', '169.254.0.0/16', '172.16.0.0/12'],
  ...['192.0.0.0/24', '192.0.2.0/24', '192.88.99.0/24', '192.168.0.0/16', '198.18.0.0/15', '198.51.100.0/24'],
  ...['203.0.113.0/24', '224.0.0.0/4', '240.0.0.0/4'],
  // Azure's host agent answers here.
  '168.63.129.16/32',
  // Not all of ::/3: Squid writes every IPv4 address as ::ffff:0:0/96, and judges it by the lines above.
  ...[
    '::/96',
    '64:ff9b::/32',
    '100::/8',
    '200::/7',
    '400::/6',
    '800::/5',
    '1000::/4',
    '4000::/2',
    '8000::/1',
  ],
  // Inside 2000::/3: Teredo, benchmarks and ORCHID, documentation, 6to4.
  ...['2001::/23', '2001:db8::/32', '2002::/16', '3fff::/20'],
]

/** What no provider has as its address: this network, loopback, link-local, clouds' metadata, multicast, reserved. */
const NEVER_A_PROVIDER = /^(0|127|22[4-9]|2[345]\d)\.|^169\.254\.|^100\.100\.100\.200$|^168\.63\.129\.16$/

/** Whether a person may allow this: a preset's word, a host name with a dot in it, or `*.` and such a name. */
export function isEgressHost(value: string): boolean {
  return Object.hasOwn(PRESETS, value) || isHost(value)
}

function isHost(value: string): boolean {
  const name = value.replace(/^\*\./, '')
  // The last part begins with a letter, so that no spelling of an address is a name.
  return (
    name.length <= 253 && /^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]$/.test(name)
  )
}

/** Which hosts may be reached, sorted, each once. */
export function allowedHosts(answers: Pick<EgressAnswers, 'providers' | 'egressHosts'>): AllowedHost[] {
  const found = new Map<string, string>()
  const allow = (host: string, because: string) => {
    if (!found.has(host)) found.set(host, because)
  }
  for (const { id, url } of answers.providers) {
    if (url === undefined) for (const host of PROVIDER_HOSTS[id] ?? []) allow(host, `provider ${id}`)
    else if (!isIPv4(hostOf(url))) allow(hostOf(url), `provider ${id}`)
  }
  for (const word of answers.egressHosts)
    for (const host of hostsOf(word)) allow(host.toLowerCase(), host === word ? 'allowed by you' : word)
  return [...found].map(([host, because]) => ({ host, because })).sort((a, b) => (a.host < b.host ? -1 : 1))
}

/** The names that a word of `egress.hosts` stands for. */
export function hostsOf(word: string): readonly string[] {
  return Object.hasOwn(PRESETS, word) ? (PRESETS[word] ?? []) : [word]
}

/** A name that a host of the list stands for: to ask the proxy about it. */
export function exampleOf(host: string): string {
  return host.startsWith('*.') ? `any-name-below${host.slice(1)}` : host
}

/** What is wrong with allowing these words. */
export function allowProblems(words: readonly string[]): Problem[] {
  return words.filter(word => !isEgressHost(word)).map(notAHost)
}

/** What is wrong with denying these words: what else allows the same names would go on doing so. */
export function denyProblems(
  answers: Pick<EgressAnswers, 'providers' | 'egressHosts'>,
  words: readonly string[],
): Problem[] {
  const left = allowedHosts({
    ...answers,
    egressHosts: answers.egressHosts.filter(host => !words.includes(host)),
  })
  const near = localProviders(answers)
  return words.flatMap(word => {
    if (near.some(({ address, port }) => word === address || word === `${address}:${port}`))
      return [ofProvider(word, 'a provider is there')]
    if (!isEgressHost(word)) return [notAHost(word)]
    const rule = left.find(({ host }) => hostsOf(word).some(denied => covers(host, denied)))
    if (rule === undefined) return []
    if (rule.because.startsWith('provider ')) return [ofProvider(word, `${rule.because} is at ${rule.host}`)]
    const other = Object.hasOwn(PRESETS, rule.because) ? rule.because : rule.host
    const both = answers.egressHosts.includes(word) ? `${word} ${other}` : other
    return [
      {
        field: word,
        saw: other === rule.host ? `${other} allows it as well` : `it belongs to ${other}, which is allowed`,
        allowed: `Deny that: create-openclaw-secure egress deny ${both.replaceAll('*', '\\*')}`,
      },
    ]
  })
}

function ofProvider(word: string, saw: string): Problem {
  const allowed =
    'A provider’s own host stays allowed as long as there is the provider: take it out of agent.providers in deployment.yaml and run create-openclaw-secure . again.'
  return { field: word, saw, allowed }
}

function notAHost(word: string): Problem {
  return {
    field: 'host',
    given: word,
    allowed: `a host name such as api.example.org, '*.example.org' for every name below, or one of ${Object.keys(PRESETS).join(', ')}`,
  }
}

/** Whether who is allowed by `rule` has all that `host` stands for. */
function covers(rule: string, host: string): boolean {
  return rule === host || (rule.startsWith('*.') && exampleOf(host).endsWith(rule.slice(1)))
}

/** The providers that are named by an IPv4 address. */
export function localProviders(answers: Pick<EgressAnswers, 'providers'>): LocalProvider[] {
  return answers.providers.flatMap(({ url }) => {
    if (url === undefined || !isIPv4(hostOf(url))) return []
    const scheme = new URL(url).protocol === 'https:' ? 'https' : 'http'
    return [{ address: hostOf(url), port: portOf(url), scheme } as const]
  })
}

/** Why the proxy could never reach a provider, in words; undefined when it can. */
export function providerProblem(provider: Provider): string | undefined {
  if (provider.url === undefined) return undefined
  const host = hostOf(provider.url)
  if (isIPv4(host))
    return NEVER_A_PROVIDER.test(host)
      ? `${host} is not an address of another machine as a container sees it: name this machine by its address in its own network`
      : undefined
  if (host.startsWith('['))
    return `${host} is an IPv6 address, and the way out is IPv4: name it by its IPv4 address`
  if (!isHost(host) || /\.(local|internal|localhost)$/.test(host))
    return `${host} is a name that only a local network knows, and names may only lead to public addresses: give its IP address`
  if (new URL(provider.url).protocol !== 'https:')
    return `plain http goes to an IP address only, and ${host} is a name: use https, or give its IP address`
  if (portOf(provider.url) !== 443)
    return `a name is reached on port 443 only, not on ${portOf(provider.url)}`
  return undefined
}

/** What fills `border/squid.conf.hbs`. Errors: `egress_host` for what is no host name; the questions refuse it before. */
export function squidConf(answers: EgressAnswers) {
  const hosts = allowedHosts(answers)
  const wrong = hosts.find(({ host }) => !isHost(host))
  // Squid's file has no quotes: what is written there must not be able to hold a space or a line break.
  if (wrong !== undefined || !/^([0-9.]*|[0-9a-f:]*)$/.test(answers.egressResolver))
    throw new ToolError(
      'egress_host',
      `${JSON.stringify(wrong?.host ?? answers.egressResolver)} is not a host that can be allowed`,
      'Give a name such as api.example.org or *.example.org.',
      Exit.usage,
    )
  const names = hosts.filter(({ host }) => !host.startsWith('*.'))
  return {
    name: answers.name,
    listen: `${LISTENS.egress}:${INSIDE.proxyPort}`,
    folder: INSIDE.border,
    names,
    nothingNamed: names.length === 0,
    suffixes: hosts
      .filter(({ host }) => host.startsWith('*.'))
      .map(({ host, because }) => ({ pattern: `\\.${host.slice(2).replaceAll('.', '\\.')}$`, because })),
    nonPublic: NON_PUBLIC.map(range => ({ range })),
    local: localProviders(answers).map(({ address, port, scheme }, index) => ({
      id: `local_${index + 1}`,
      host: address,
      port,
      methods: scheme === 'https' ? 'CONNECT' : 'CONNECT GET POST',
    })),
    resolver: answers.egressResolver,
  }
}

/** Who may be reached by one `border/squid.conf` and not by the next: what is the last word of a rule that is gone. */
export function takenOut(before: string, after: string): string[] {
  const kept = new Set(after.split('\n'))
  return (
    before
      .split('\n')
      .filter(line => /^acl (named|named_below|local_\S+) /.test(line) && !kept.has(line))
      .map(line => line.slice(line.lastIndexOf(' ') + 1))
      // Stands where nobody is named.
      .filter(host => host !== 'nothing.is.allowed.invalid')
  )
}

/** What fills `border/haproxy.cfg.hbs`. */
export function haproxyCfg(answers: Pick<EgressAnswers, 'name'>) {
  return {
    name: answers.name,
    // Its name on that network alone: nobody on another one reaches the port.
    listen: `${LISTENS.ingress}:${INSIDE.port}`,
    gateway: `${SERVICE}:${INSIDE.port}`,
    connections: 512,
    rate: 200,
  }
}

/** The longest time the way out may be opened for, in seconds. `border/is-open` refuses more. */
export const LONGEST_OPENING = 86_400

/** What `border/open-until` holds: when it was opened and when it closes, in seconds since 1970. */
export function openUntil(now: Date, seconds: number): string {
  const opened = Math.floor(now.getTime() / 1000)
  return `${opened} ${opened + Math.min(Math.floor(seconds), LONGEST_OPENING)}\n`
}

/** When the way out closes again, or undefined when it is closed. Reads `border/open-until` as `border/is-open` does. */
export function closesAt(text: string, now: Date): Date | undefined {
  const match = /^\s*([1-9]\d{0,11})\s+([1-9]\d{0,11})\s*$/.exec(text.split('\n')[0] ?? '')
  const [opened, until, seconds] = [Number(match?.[1]), Number(match?.[2]), Math.floor(now.getTime() / 1000)]
  const open = until - opened <= LONGEST_OPENING && opened <= seconds && seconds < until
  return open ? new Date(until * 1000) : undefined
}

/** What the proxy decided about a request. */
export interface Decision {
  /** HOST:PORT, as it was asked for. */
  target: string
  allowed: boolean
  /** A reason of `border/squid.conf.hbs`. */
  reason: string
  /** The status it answered with. 0: whoever had asked was gone before. */
  status: number
}

/** The decision that a line of the proxy's log holds (`logformat border`); undefined for every other line. */
export function decisionIn(line: string): Decision | undefined {
  const match = /^\S+ (allowed|refused) \S+ (\S+) reason=([a-z0-9-]+) client=\S+ peer=\S+ status=(\d+) /.exec(
    line,
  )
  const [, decision, target = '', reason = '', status] = match ?? []
  if (decision === undefined) return undefined
  // Squid writes the brackets of an IPv6 address as %5B and %5D.
  const asked = target.replace(/^%5B/i, '[').replace(/%5D(:\d+)$/i, ']$1')
  return { target: asked, allowed: decision === 'allowed', reason, status: Number(status) }
}

function hostOf(url: string): string {
  return new URL(url).hostname.replace(/\.$/, '')
}

function portOf(url: string): number {
  const { port, protocol } = new URL(url)
  return port === '' ? (protocol === 'https:' ? 443 : 80) : Number(port)
}
