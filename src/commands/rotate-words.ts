import { resolve } from 'node:path'
import { type Found, STORE_CREDENTIAL } from '../../steps/rotate/context.ts'
import { type Answers, placeOf } from '../deployment/answers.ts'
import type { Layout } from '../deployment/layout.ts'
import { addressOf } from '../deployment/plan.ts'
import { type ToolError, visible } from '../errors.ts'
import { isGenerated, isSandboxKey } from '../gateway/generated.ts'
import { GATEWAY_TOKEN, PROXY_PASSWORD, secretFileName } from '../gateway/policy.ts'
import { SANDBOX_CLIENT_KEY, SANDBOX_HOST_KEY } from '../gateway/sandbox.ts'

/** One secret that was rotated, or whose rotation was finished. */
export interface Rotated {
  name: string
  resumed: boolean
  found: Found
}

/** What would be done, for `--dry-run`. */
export function preview(
  answers: Answers,
  begun: readonly string[],
  due: readonly string[],
  { revokeDevices }: { revokeDevices?: boolean },
): string {
  return [
    `Secrets live in ${placeOf(answers)}`,
    ...begun.map(name => `${name}: the rotation that was cut short is finished, or taken back`),
    ...due.map(name => `${name}: ${whatIsDone(name)}`),
    ...(begun.length + due.length === 0 ? ['Nothing is due'] : []),
    ...(revokeDevices === true ? ['All paired devices are removed'] : []),
  ].join('\n')
}

function whatIsDone(name: string): string {
  switch (name) {
    case STORE_CREDENTIAL:
      return 'a new secret id, which has to open the store; every other one of this role is destroyed'
    case PROXY_PASSWORD:
      return 'a new value into the store; proxy/htpasswd is written, for you to install; the old one is destroyed'
    case SANDBOX_CLIENT_KEY:
      return 'a new key into the store; the sandbox lets it in beside the old one; openclaw.json is pointed to it, and the gateway has to work by it; the sandbox has to refuse the old one, which is destroyed'
    case SANDBOX_HOST_KEY:
      return 'a new key into the store; the gateway recognises the sandbox by it as well; the sandbox has to show it; the old one is forgotten and destroyed'
    default:
      return `a new value into the store; a new file in secrets/; openclaw.json is pointed to it; ${
        name === GATEWAY_TOKEN
          ? 'the gateway has to take the new one and to refuse the old one'
          : 'the gateway has to work by it'
      }; the old one is destroyed`
  }
}

/** What the person has to know now: where the new value is, who needs it, and what was found. Never the value. */
export function rotatedWords(
  answers: Answers,
  layout: Layout,
  done: readonly Rotated[],
  told: { lines: readonly string[]; names: readonly string[]; due: readonly string[] },
): string {
  const { lines, names, due } = told
  const asked = names.filter(name => !due.includes(name) && !done.some(one => one.name === name))
  return [
    '',
    ...done.flatMap(one => about(one, answers, layout)),
    ...lines,
    ...(asked.length > 0 ? [`Nothing to do for ${asked.join(', ')}`] : []),
    '',
  ].join('\n')
}

function about({ name, resumed, found }: Rotated, answers: Answers, layout: Layout): string[] {
  if (name === STORE_CREDENTIAL)
    return ['The secret id that opens the store is new, and every other one is destroyed']
  const { next, old, applied, left, devices } = found
  const current = next ?? old
  if (next === undefined) return [`${name}: nothing was half-way any more`]
  const how = applied === undefined ? '' : `, by ${applied.by} in ${(applied.took / 1000).toFixed(2)} s`
  return [
    `${name} ${resumed ? 'is finished' : 'is new'}${how}; fingerprint ${next.value.fingerprint(name)}`,
    ...(current === undefined || name === PROXY_PASSWORD || isSandboxKey(name)
      ? []
      : [
          `It is in ${resolve(layout.secrets, secretFileName({ name, ...current }))} (cat it; it is not shown here)`,
        ]),
    ...(left !== undefined && left.length > 0
      ? [
          `The old value, which opens nothing any more, still stands in ${left.slice(0, 5).map(visible).join(', ')}`,
        ]
      : []),
    ...(name === GATEWAY_TOKEN ? clients(answers, devices) : []),
    ...(isSandboxKey(name)
      ? [
          'What is connected stays connected. If the old key has leaked, end it: docker compose restart sandbox',
        ]
      : []),
    ...(!isGenerated(name) ? ['Revoke the old one where it came from: there it is still good'] : []),
    ...(name === PROXY_PASSWORD
      ? [
          'nginx asks for the old one until you install the file (README.md, "nginx"):',
          `  sudo install -m 0640 -g www-data ${resolve(layout.root, 'proxy/htpasswd')} /etc/nginx/${answers.name}.htpasswd`,
        ]
      : []),
  ]
}

/** Who has to be told, and how. */
function clients(answers: Answers, devices: Found['devices']): string[] {
  return [
    'Who used the old token needs the new one:',
    `  Control UI   ${addressOf(answers)}: paste it once more; its old login has ended`,
    '  openclaw     on other machines: gateway.remote.token in their openclaw.json, best as a reference to a file of theirs',
    '  nodes        that connect with the token: OPENCLAW_GATEWAY_TOKEN where they run, or pair them as devices',
    ...(devices === undefined
      ? [
          'Which devices are paired could not be seen: docker compose exec openclaw-gateway node openclaw.mjs devices list',
        ]
      : devices.length === 0
        ? ['No device is paired: nobody has a token of another kind.']
        : [
            `${devices.length} paired ${devices.length === 1 ? 'device keeps a token of its' : 'devices keep tokens of their'} own: ${devices.map(({ name }) => name).join(', ')}`,
            'If the old token has leaked: rotate --revoke-devices removes them all.',
          ]),
  ]
}

/** The same for `--json`. */
export function bodyOf(
  done: readonly Rotated[],
  errors: readonly ToolError[],
  names: readonly string[],
  due: readonly string[],
) {
  return {
    rotated: done.map(({ name, resumed, found }) => ({
      secret: name,
      resumed,
      fingerprint: (found.next ?? found.old)?.value.fingerprint(name),
      rotation: (found.next ?? found.old)?.rotationId,
      by: found.applied?.by,
      milliseconds: found.applied?.took,
      devices: found.devices?.length,
      oldValueIn: found.left,
    })),
    notDue: names.filter(name => !due.includes(name) && !done.some(one => one.name === name)),
    failed: errors.map(({ code, message, hint }) => ({ code, message, hint })),
  }
}
