import { isCredentialName } from '../verify/credentials.ts'

/** What a value's own shape says. The first that fits counts; all are long enough to be no accident. */
const SHAPES: readonly (readonly [kind: string, shape: string])[] = [
  [
    'private key',
    '-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----[\\s\\S]{0,8192}?-----END [A-Z0-9 ]+-----',
  ],
  ['Anthropic key', 'sk-ant-[\\w-]{8,}'],
  ['OpenRouter API key', 'sk-or-[\\w-]{8,}'],
  ['OpenAI API key', 'sk-(?:proj|svcacct|admin)-[\\w-]{8,}'],
  ['API key (sk-)', 'sk-[\\w-]{16,}'],
  ['Stripe key', '[rs]k_live_\\w{8,}'],
  ['GitHub token', '(?:gh[pousr]_|github_pat_)\\w{16,}'],
  ['GitLab token', 'glpat-[\\w.-]{12,}'],
  ['Slack token', '(?:xox[abeprs]|xapp)-[\\w-]{10,}'],
  ['Google API key', 'AIza[\\w-]{30,}'],
  ['AWS access key', '(?:AKIA|ASIA)[0-9A-Z]{16}(?![0-9A-Za-z])'],
  ['Vault token', 'hv[sbr]\\.[\\w-]{16,}'],
  ['1Password service account token', 'ops_eyJ[\\w-]{16,}'],
  ['Telegram bot token', '\\d{6,12}:AA[\\w-]{30,}'],
  ['Groq API key', 'gsk_\\w{20,}'],
  ['xAI API key', 'xai-\\w{20,}'],
  ['Hugging Face token', 'hf_\\w{20,}'],
  ['signed token', 'eyJ[\\w-]{10,}\\.[\\w-]{10,}\\.[\\w-]*'],
]
const HEX = '[0-9a-fA-F]{64}(?![\\w])'

/** Shapes that count only as a whole value: elsewhere in a text they would often be something else. */
const WHOLE: readonly (readonly [kind: string, shape: RegExp])[] = [
  ...SHAPES.map(([kind, shape]) => [kind, new RegExp(`^(?:${shape})`)] as const),
  ['64 hex characters', /^[0-9a-fA-F]{64}$/],
  ['authorization header', /^(?:Bearer|Basic|Token)\s+[^\s$]{8,}$/i],
  ['address with a password', /^[a-z][a-z0-9+.-]*:\/\/[^\s/:@]*:[^\s/@]+@/i],
]

/** The providers whose keys people have, as they write themselves. */
const PROVIDERS: Readonly<Record<string, string>> = {
  openai: 'OpenAI',
  anthropic: 'Anthropic',
  google: 'Google',
  gemini: 'Gemini',
  openrouter: 'OpenRouter',
  mistral: 'Mistral',
  groq: 'Groq',
  xai: 'xAI',
  deepseek: 'DeepSeek',
}

/** What a name says, for want of anything better. */
const NAMED: readonly (readonly [RegExp, string])[] = [
  [/^gateway_token$/, 'gateway token'],
  [/^gateway_password$/, 'gateway password'],
  [/private_?key$/, 'private key'],
  [/api_?keys?$/, 'API key'],
  [/bot_?tokens?$/, 'bot token'],
  [/tokens?$/, 'token'],
  [/(password|passwd|passphrase)s?$/, 'password'],
]

/** `left`: a person is told why it is not looked at further. */
export type Verdict =
  | { is: 'nothing' }
  | { is: 'left'; why: string }
  | { is: 'secret'; shape: string | undefined }

/** Longer is no secret that anybody has. Characters. */
const LONGEST_VALUE = 65_536

/**
 * Whether a value is a secret in plain text. It is one by its name (`botToken`, `OPENAI_API_KEY`) or by its own shape; not when
 * it only says where a secret is (a path, a reference of another tool), nor when it waits to be filled in.
 * `byPlace`: what stands there is a secret whatever its name.
 */
export function judge(name: string, value: string, byPlace = false): Verdict {
  if (value.length > LONGEST_VALUE) return { is: 'left', why: 'longer than 64 KiB, not looked at' }
  const text = value.trim()
  const named = byPlace || isNamedLikeCredential(name, value)
  const shape = shapeOf(text)
  const byShape = shape !== undefined && !(shape === '64 hex characters' && isNamedLikeDigest(name))
  if (text === '' || (!named && !byShape) || isReference(text)) return { is: 'nothing' }
  if (isPlaceholder(text) || isItsOwnName(name, text)) return { is: 'left', why: 'placeholder, not imported' }
  return { is: 'secret', shape: byShape ? shape : undefined }
}

/** What it is, in words: by the provider in its store name, else by its shape, else by the name. */
export function kindOf(storeName: string, shape: string | undefined): string {
  const provider = /^([a-z0-9]+)_api_key$/.exec(storeName)?.[1] ?? ''
  if (Object.hasOwn(PROVIDERS, provider)) return `${PROVIDERS[provider]} API key`
  const byName = NAMED.find(([pattern]) => pattern.test(storeName))?.[1] ?? 'secret'
  return /^gateway_/.test(storeName) ? byName : (shape ?? byName)
}

/** The kind of secret a text looks like as a whole. */
export function shapeOf(text: string): string | undefined {
  return WHOLE.find(([, shape]) => shape.test(text))?.[0]
}

/** Everything within a text that looks like a secret. 64 hex characters are often a digest: only on request. */
export function shapesIn(
  text: string,
  options: { hex: boolean },
): { at: number; value: string; kind: string }[] {
  const shapes = options.hex ? [...SHAPES, ['64 hex characters', HEX] as const] : SHAPES
  const found = shapes.flatMap(([kind, shape]) =>
    [...text.matchAll(new RegExp(`(?<![\\w.-])(?<!sha256[:-])(?:${shape})`, 'g'))].map(match => ({
      at: match.index,
      value: match[0],
      kind,
    })),
  )
  const starts = new Set<number>()
  return found
    .filter(({ at, value }) => !isPlaceholder(value) && !starts.has(at) && starts.add(at))
    .sort((a, b) => a.at - b.at)
}

/** Words of this tool's own, and what people put where a secret has to be for now. */
const EVERYDAY =
  /^(openclaw|create-openclaw-secure|(openclaw[-_])?(gateway|secure|token|password|secret)|clawdbot|moltbot|docker|compose|localhost|secrets?|passwords?|token|config|default|import(ed)?|store|variable|deployment|postgres|admin|root|database)$/i

/** Such a word is read everywhere: it is no secret to keep, and blacked out it would be told by its absence. */
export const EVERYDAY_WORD =
  'it is an everyday word, and too weak for a secret: choose another, then import it'

/** The variables that a text names, however Compose, a shell or OpenClaw writes them. */
export function variablesIn(text: string): string[] {
  return [...text.matchAll(/\$\{?([A-Za-z_]\w*)/g)].map(match => match[1] ?? '')
}

/** How variables are written: in a Compose file, in a file of variables, in openclaw.json. */
const VARIABLE = {
  compose: /\$\{[^{}]*\}|\$[A-Z_][A-Z0-9_]*/g,
  variables: /\$\{[^{}]*\}|\$[A-Z_][A-Z0-9_]*/g,
  openclaw: /\$\{[A-Z_][A-Z0-9_]*\}/g,
}

/**
 * {@link judge} for a text that may hold variables. What is secret beside one, or as its default, cannot be taken out by
 * machine: `part` says which. `value` is what the text means.
 */
export function judgeWithVariables(
  format: keyof typeof VARIABLE,
  name: string,
  text: string,
  byPlace = false,
): { verdict: Verdict; part?: 'default' | 'mixed'; value: string } {
  if (text.length > LONGEST_VALUE) return { verdict: judge(name, text), value: text }
  // In Compose, two dollar signs are one, and no variable.
  const literal = format === 'compose' ? text.replaceAll('$$', '$') : text
  const counted = format === 'compose' ? text.replaceAll('$$', '') : text
  // One that begins nothing is an error to some programs, and itself to others; OpenClaw takes it for itself.
  const isPlain = format === 'openclaw' ? counted.search(VARIABLE.openclaw) < 0 : !counted.includes('$')
  if (isPlain) return { verdict: judge(name, literal, byPlace), value: literal }
  const fallback = format === 'openclaw' ? undefined : /^\$\{\w+:?-([^{}]+)\}$/.exec(text.trim())?.[1]
  if (fallback !== undefined)
    return { verdict: judge(name, fallback, byPlace), part: 'default', value: fallback }
  const rest = counted.replaceAll(VARIABLE[format], '').replaceAll(VARIABLE[format], '')
  const verdict = judge(name, rest, byPlace)
  return { verdict: verdict.is === 'left' ? { is: 'nothing' } : verdict, part: 'mixed', value: text }
}

/** Why no store should be asked to keep a text, or undefined. */
export function unfit(text: string): string | undefined {
  if (EVERYDAY.test(text.trim())) return EVERYDAY_WORD
  return text.includes('\u0000') || /\p{Surrogate}/u.test(text)
    ? 'it holds characters that no text has'
    : undefined
}

export function isNamedLikeCredential(name: string, value: string): boolean {
  const plain = name.replaceAll('-', '_')
  // `MAX_TOKENS=4096` counts tokens of a model.
  if (/tokens$/i.test(plain) && /^\d/.test(value.trim())) return false
  if (/^(true|false|yes|no|on|off|auto)$/i.test(value.trim())) return false
  return (
    isCredentialName(plain.replace(/_?\d+$/, '')) ||
    /(^|_|[a-z])(passphrase|authorization|cookie|(access|secret|signing|encrypt(ion)?|auth|master|service)_?key)$/i.test(
      plain,
    )
  )
}

function isNamedLikeDigest(name: string): boolean {
  return /(sha\d*|hash|digest|checksum|fingerprint|integrity|commit|revision)$/i.test(name)
}

/** What says where a secret is, and is none: a path, a reference of OpenClaw or of a secret manager. */
function isReference(text: string): boolean {
  return (
    /^(file:\/\/|op:\/\/|vault:|secretref[-:])/i.test(text) ||
    /^(\/(run|etc|home|root|var|opt|srv|mnt|tmp|usr|secrets|data|app|config)\/|~\/|\.{1,2}\/)\S*$/.test(
      text,
    ) ||
    /^[\w.-]+(\/[\w.-]+)*\.(json|pem|key|p12|pfx|crt|txt)$/.test(text)
  )
}

/** `DB_PASSWORD=db_password` */
function isItsOwnName(name: string, text: string): boolean {
  const plain = (one: string) => one.replace(/[-_]/g, '').toLowerCase()
  return plain(name) === plain(text)
}

/** What stands where a secret should be filled in. */
function isPlaceholder(text: string): boolean {
  return (
    /^(<[^<>]*>|\[[^[\]]*\]|\{\{[^{}]*\}\}|%\w+%|[x-]+|\*+|\.{3,}|…|none|null|nil|undefined|todo|tbd|dummy|test|token|password|secret|bearer|basic)$/i.test(
      text,
    ) ||
    /^(your|my)[-_ ]|^(insert|enter|paste|put|add)[-_ ]|change[-_ ]?(me|this|it)|replace[-_ ]?(me|with|this)|placeholder|[-_]here$|^example|example[-_](key|token|secret|password)|__openclaw_redacted__|x{8}/i.test(
      text,
    )
  )
}
