import type { Provider } from '../deployment/answers.ts'

/**
 * How one kind of answer is read: from text (a flag, the environment, a prompt) and from data (a file, where 18789
 * and "18789" are different things). `undefined` means refused; `allowed` then tells the person what would do.
 */
export interface Kind<T> {
  allowed: string
  /** What the help shows after the flag: `<port>`; empty for a switch. */
  placeholder: string
  fromText(text: string): T | undefined
  fromData(data: unknown): T | undefined
  /** The written form; `fromText(toText(x))` is x. */
  toText(value: T): string
  /** The form in a file. */
  toData(value: T): unknown
  options?: readonly { value: T; label: string; hint?: string }[]
  /** Several answers to one question; its flag may be repeated. */
  isList?: true
}

export function text(
  allowed: string,
  placeholder: string,
  accepts: (value: string) => boolean,
): Kind<string> {
  const read = (value: string) => (value.length <= 2048 && accepts(value) ? value : undefined)
  return {
    allowed,
    placeholder,
    fromText: read,
    fromData: data => (typeof data === 'string' ? read(data) : undefined),
    toText: value => value,
    toData: value => value,
  }
}

export function integer(min: number, max: number, placeholder: string, unit = ''): Kind<number> {
  const inRange = (value: number) =>
    Number.isInteger(value) && value >= min && value <= max ? value : undefined
  return {
    allowed: `a whole number from ${min} to ${max}${unit === '' ? '' : ` (${unit})`}`,
    placeholder,
    fromText: value => (/^\d{1,9}$/.test(value) ? inRange(Number(value)) : undefined),
    fromData: data => (typeof data === 'number' ? inRange(data) : undefined),
    toText: String,
    toData: value => value,
  }
}

export function choice<T extends string>(
  placeholder: string,
  options: readonly { value: T; label: string; hint?: string }[],
): Kind<T> {
  const read = (data: unknown) => options.find(option => option.value === data)?.value
  return {
    allowed: options.map(option => option.value).join(', '),
    placeholder,
    fromText: read,
    fromData: read,
    toText: value => value,
    toData: value => value,
    options,
  }
}

export function yesNo(): Kind<boolean> {
  const words: Record<string, boolean> = {
    yes: true,
    true: true,
    '1': true,
    no: false,
    false: false,
    '0': false,
  }
  return {
    allowed: 'yes or no (true or false in a file)',
    placeholder: '',
    fromText: value => (Object.hasOwn(words, value.toLowerCase()) ? words[value.toLowerCase()] : undefined),
    fromData: data => (typeof data === 'boolean' ? data : undefined),
    toText: value => (value ? 'yes' : 'no'),
    toData: value => value,
  }
}

/** Any number of one kind, with commas between them as text and as a list in a file; each only once. */
export function list<T>(item: Kind<T>, key: (value: T) => string): Kind<T[]> {
  const complete = (values: (T | undefined)[]): T[] | undefined => {
    const read = values.filter(value => value !== undefined)
    if (read.length !== values.length || new Set(read.map(key)).size !== read.length) return undefined
    return read
  }
  return {
    allowed: `any number of, without repeats and with commas between: ${item.allowed}`,
    placeholder: item.placeholder,
    fromText: value =>
      complete(
        value
          .split(',')
          .map(part => part.trim())
          .filter(part => part !== '')
          .map(item.fromText),
      ),
    fromData: data => (Array.isArray(data) ? complete(data.map(item.fromData)) : undefined),
    toText: values => values.map(item.toText).join(','),
    toData: values => values.map(item.toData),
    isList: true,
  }
}

/** A DNS label or name, as RFC 1123 has it. */
export const isHostName = (value: string): boolean =>
  value.length <= 253 && value.split('.').every(label => /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/i.test(label))

/** `[registry/]path[:tag][@sha256:…]`, lower case as the registry API demands (OCI distribution spec). */
export const isImageReference = (value: string): boolean =>
  /^([a-z0-9]+([._-][a-z0-9]+)*(:\d{1,5})?\/)?[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*(:[\w][\w.-]{0,127})?(@sha256:[0-9a-f]{64})?$/.test(
    value,
  ) || /^sha256:[0-9a-f]{64}$/.test(value)

/** Providers that OpenClaw knows by name and that need nothing but a key. */
export const KNOWN_PROVIDERS = ['openai', 'anthropic'] as const

/** `openai`, `anthropic`, or `name=https://host/v1` for anything that speaks OpenAI's protocol. */
export const provider: Kind<Provider> = (() => {
  const fromText = (value: string): Provider | undefined => {
    if (KNOWN_PROVIDERS.some(known => known === value)) return { id: value }
    const match = /^([a-z][a-z0-9-]{0,31})=(\S{1,1000})$/.exec(value)
    const [id, url] = [match?.[1], match?.[2]]
    if (id === undefined || url === undefined || KNOWN_PROVIDERS.some(known => known === id)) return undefined
    return isModelUrl(url) ? { id, url } : undefined
  }
  return {
    allowed: `${KNOWN_PROVIDERS.join(', ')}, or NAME=URL with an https URL (http only to a private address)`,
    placeholder: '<name|name=url>',
    fromText,
    fromData: data => (typeof data === 'string' ? fromText(data) : undefined),
    toText: value => (value.url === undefined ? value.id : `${value.id}=${value.url}`),
    toData: value => (value.url === undefined ? value.id : `${value.id}=${value.url}`),
  }
})()

/** A URL a key may be sent to: https, or http that stays on private ground; no user, query or fragment. */
function isModelUrl(value: string): boolean {
  if (!URL.canParse(value) || !/^[\x21-\x7e]+$/.test(value) || /["'\\`<>{}|^,$]/.test(value)) return false
  const url = new URL(value)
  if (url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '') return false
  if (url.protocol === 'https:') return url.hostname !== ''
  return url.protocol === 'http:' && isPrivateHost(url.hostname)
}

/** This machine itself, as the URL parser writes it. */
export const isLoopbackHost = (host: string): boolean =>
  host === 'localhost' || /^127(\.\d+){3}$/.test(host) || host === '[::1]'

/** Loopback, RFC 1918 and unique-local addresses, and names that only a local resolver knows. */
function isPrivateHost(host: string): boolean {
  // The URL parser has already written every form of an IPv4 address as four numbers.
  if (/^\d+(\.\d+){3}$/.test(host)) return /^(127|10)\.|^192\.168\.|^172\.(1[6-9]|2\d|3[01])\./.test(host)
  if (host.startsWith('[')) return /^\[(::1\]|f[cd][0-9a-f]{2}:)/i.test(host)
  return !host.includes('.') || host.endsWith('.internal') || host.endsWith('.local')
}

/** An absolute path that no configuration file has to quote. */
export function isPlainPath(value: string): boolean {
  return /^(\/[A-Za-z0-9._-]+)+$/.test(value) && !value.split('/').includes('..')
}

/** A name of the IANA time zone database that this Node knows. */
export function isTimeZone(value: string): boolean {
  // Asking Intl loads all its data; the commonest answer is known without.
  if (value === 'UTC') return true
  if (!/^[A-Za-z][A-Za-z0-9_+/-]{0,63}$/.test(value)) return false
  try {
    new Intl.DateTimeFormat('en', { timeZone: value })
    return true
  } catch {
    return false
  }
}
