/**
 * What misuse of an agent looks like, as data; the seed's own pattern (`rm -rf|sudo|chmod|curl.*|`) is the beginning of it. A match
 * proves nothing, and neither does its absence: it says where to look first.
 */
export interface Pattern {
  id: string
  /** For a reader who has not seen the list. */
  what: string
  severity: Severity
  /** In what is done (`call`), in what is shown to the agent (`shown`), or in both. */
  where: 'call' | 'shown' | 'both'
  /**
   * Of lower-case text. Linear: every repetition is bounded and short, and what stands far apart is two patterns, not one with a
   * gap in it.
   */
  regex: RegExp
}

export const SEVERITIES = ['high', 'medium', 'low'] as const
export type Severity = (typeof SEVERITIES)[number]

type Entry = [id: string, severity: Severity, where: Pattern['where'], what: string, regex: RegExp]

const TABLE: readonly Entry[] = [
  [
    'shell.piped',
    ...(['high', 'call', 'feeds what comes from elsewhere to a shell'] as const),
    /\|\s{0,4}(?:sudo\s{1,4})?(?:\/(?:usr\/)?bin\/)?(?:(?:ba|da|z|k|a)?sh|python3?|perl|node|php)\b|\bsh\s{1,4}(?:-c\s{1,4})?["']?(?:<\(|\$\(\s{0,4}(?:curl|wget))/g,
  ],
  [
    'shell.reverse',
    ...(['high', 'call', 'opens a shell to elsewhere'] as const),
    /\/dev\/(?:tcp|udp)\/|\bn(?:c|cat|etcat)\s{1,4}(?:-[a-z]{1,8}\s{1,4}){0,3}-[a-z]{0,6}[ec]\b|\bpty\.spawn|\bbash\s{1,4}-i\b|\bmkfifo\b|\bsocat\s/g,
  ],
  [
    'code.decoded',
    ...(['medium', 'call', 'decodes what is to be hidden'] as const),
    /\bbase64\s{1,4}-{1,2}d|\bxxd\s{1,4}-r|\bopenssl\s{1,4}enc\b|\bb64decode\b|\bfromhex\b/g,
  ],
  [
    'delete.much',
    ...(['high', 'call', 'deletes much at once'] as const),
    /\brm\s{1,4}(?:-[a-z]{1,8}\s{1,4}){0,3}-{1,2}[a-z]{0,8}r|\s-delete\b|\b(?:shred|wipefs|mkfs)\b|\bof=\/dev\/|\bdrop\s{1,4}(?:table|database)\b|\brmtree\b/g,
  ],
  [
    'rights.more',
    ...(['high', 'call', 'takes more rights'] as const),
    /\b(?:sudo|pkexec|doas|nsenter|unshare|setcap|chroot)\b|\bsu\s{1,4}-|\bchmod\s{1,4}(?:-r\s{1,4})?(?:[ugoa]{0,4}\+[rwx]{0,3}s|[0-7]?[2467][0-7]{3}\b|0?777\b)/g,
  ],
  ['rights.changed', 'low', 'call', 'changes the rights of files', /\bch(?:mod|own)\s/g],
  [
    'credentials.read',
    ...(['high', 'call', 'is after credentials'] as const),
    /\.ssh\/|\bid_(?:rsa|ed25519|ecdsa)|\.aws\/|\.netrc|\.docker\/config|\.kube\/|\.gnupg|\/etc\/shadow|\/run\/secrets|gateway_token|_api_key\b|\.npmrc|\.git-credentials|\.pgpass|openclaw\.sqlite|docker\.sock/g,
  ],
  [
    'environment.read',
    ...(['high', 'call', 'reads the environment or memory of processes'] as const),
    /\/proc\/[^\s/]{1,16}\/(?:environ|mem|maps|fd|root)\b|\bprintenv\b/g,
  ],
  [
    'metadata.asked',
    ...(['high', 'call', 'asks the cloud for the machine’s identity'] as const),
    /169\.254\.(?:169\.254|170\.2)|fd00:ec2::254|100\.100\.100\.200|\bmetadata\.(?:google|azure)/g,
  ],
  [
    'sent.out',
    ...(['high', 'call', 'sends to where it can be picked up, or uploads'] as const),
    /webhook\.site|requestbin|pipedream\.net|pastebin\.com|transfer\.sh|0x0\.st|\bngrok|burpcollaborator|\boast\.|interact\.sh|discord(?:app)?\.com\/api\/webhooks|api\.telegram\.org\/bot|--(?:data-binary|upload-file|post-file|form)\b/g,
  ],
  [
    'network.used',
    ...(['medium', 'call', 'talks to the network by itself'] as const),
    /\b(?:curl|wget|ncat|netcat|telnet|scp|sftp|rsync|dig|nslookup)\b|\bnc\s{1,4}|\bsocket\.(?:socket|create_connection)|\burllib\b|\brequests\.(?:get|post|put)\b/g,
  ],
  [
    'kept.alive',
    ...(['high', 'call', 'makes something run again later'] as const),
    /\bcrontab\b|\/etc\/cron|\/var\/spool\/cron|\bsystemctl\s{1,4}enable|\.bashrc|\.(?:bash_)?profile\b|authorized_keys|\/etc\/rc\.|\bnohup\b|\.config\/autostart/g,
  ],
  [
    'policy.touched',
    ...(['high', 'call', 'is after OpenClaw’s own policy'] as const),
    /openclaw\.json|exec-approvals|\bapprovals\s{1,4}(?:allowlist|set)|\bopenclaw(?:\.mjs)?\s{1,4}(?:config|devices|approvals|plugins|secrets)\b|\btools\.(?:deny|allow|elevated|exec)\b|gateway\.auth/g,
  ],
  [
    'prompt.injected',
    ...(['high', 'shown', 'words that give the agent orders in somebody else’s name'] as const),
    /\b(?:ignore|disregard|forget|override)\s{1,4}(?:all\s{1,4}|any\s{1,4}|the\s{1,4}|your\s{1,4}){0,3}(?:previous|prior|above|earlier|system)\s{1,4}(?:instruction|prompt|message|rule|direction)|\bdo\s{1,4}not\s{1,4}(?:tell|inform|alert|mention)\b[^\n]{0,30}\b(?:user|owner|human|operator)\b|<\|im_(?:start|end)\|>|\[\/?inst\]|\byou\s{1,4}are\s{1,4}now\s{1,4}(?:dan\b|in\s{1,4}developer|unrestricted|jailbroken)|\bnew\s{1,4}(?:system\s{1,4})?(?:instructions|prompt):/g,
  ],
  [
    'secret.seen',
    ...(['high', 'both', 'a key, or what looks like one'] as const),
    /-----begin (?:[a-z0-9]{1,10} ){0,2}private key|\bakia[0-9a-z]{16}\b|\bsk-[a-z0-9_-]{20}|\bgh[pousr]_[a-z0-9]{30}|\bxox[abprs]-[0-9a-z-]{10}/g,
  ],
]

/** All patterns, the gravest first. */
export const PATTERNS: readonly Pattern[] = TABLE.map(([id, severity, where, what, regex]) => ({
  ...{ id, severity, where, what, regex },
})).sort((one, other) => SEVERITIES.indexOf(one.severity) - SEVERITIES.indexOf(other.severity))

/** A pattern, and where it stands in the text: from a character to before another. */
export interface Hit {
  pattern: Pattern
  from: number
  to: number
}

/** More than this of what a tool has returned is a finding of its own. Characters. */
export const HUGE = 1024 * 1024

const HUGE_OUTPUT: Pattern = {
  id: 'output.huge',
  what: 'returns more than anybody reads',
  severity: 'low',
  where: 'shown',
  regex: /(?!)/g,
}

/** How much is looked at, at a time and altogether. Characters. What is longer is looked at to this end, and is a finding for it. */
const WINDOW = 65_536
const MOST = 16 * 1024 * 1024
/** No match is longer, so none is lost between two windows. */
const OVERLAP = 256

/** Which patterns a text shows, each once. Takes time in proportion to its length, whatever is in it. */
export function suspicionsIn(text: string, kind: 'call' | 'shown'): Hit[] {
  const hits: Hit[] = []
  let open = PATTERNS.filter(({ where }) => where === kind || where === 'both')
  const looked = text.slice(0, MOST)
  for (let from = 0; from < looked.length && open.length > 0; from += WINDOW) {
    // The one letter that becomes two would move what comes after it.
    const window = looked
      .slice(from, from + WINDOW + OVERLAP)
      .replaceAll('\u0130', 'i')
      .toLowerCase()
    open = open.filter(pattern => {
      pattern.regex.lastIndex = 0
      const found = pattern.regex.exec(window)
      if (found === null) return true
      const at = from + found.index
      hits.push({ pattern, from: at, to: at + found[0].length })
      return false
    })
  }
  if (text.length > HUGE && kind === 'shown') hits.push({ pattern: HUGE_OUTPUT, from: 0, to: 0 })
  return hits
}
