import { resolve, sep } from 'node:path'
import { STORE_CREDENTIAL } from '../../steps/rotate/context.ts'
import type { Answers } from '../deployment/answers.ts'
import { Cancelled, type Problem, UsageError } from '../errors.ts'
import { isGenerated, isSandboxKey } from '../gateway/generated.ts'
import { allSecretNamesOf, GATEWAY_TOKEN } from '../gateway/policy.ts'
import { providerCallProblems } from '../gateway/provider-call.ts'
import { SANDBOX_CLIENT_KEY } from '../gateway/sandbox.ts'
import { Secret } from '../secret.ts'
import { ownsSecretId } from '../stores/credential.ts'
import { type BroughtSecrets, readSecrets, secretFlagsOf, unusableKey } from '../wizard/secrets.ts'
import { type Voice, voiceOn } from '../wizard/voice.ts'
import { type HandOut, handOutProblems } from './hand-out.ts'
import type { GlobalOptions, Program, Session } from './program.ts'
import { namedByPerson } from './secret-answers.ts'

export interface RotateOptions extends Omit<GlobalOptions, 'storeCredential'>, HandOut {
  /** Every secret of the deployment. */
  all?: boolean
  resume?: boolean
  /** In milliseconds: a younger secret is left as it is. */
  ifOlderThan?: number
  schedule?: 'monthly' | 'weekly' | 'off'
  revokeDevices?: boolean
  proveUrl?: string
  proveHeader?: string
  providerKey?: string[]
  secretValue?: string[]
  storeCredential?: string[]
  /** How long the gateway may take to start, in seconds. */
  startTimeout: number
}

const NOTHING_CHANGED = 'Nothing was changed. Correct the input and run the command again.'

/** What a rotation is to be done with. */
export interface RotateInput {
  names: readonly string[]
  /** Whether somebody named them. */
  isNamed: boolean
  brought: BroughtSecrets
  /** What opens the store, where it is told now. */
  credential: Secret | undefined
}

/**
 * Which secrets, and the values that were brought for them. Errors: a usage error with everything that is wrong with what
 * was asked for, at once.
 */
export async function takeInput(
  session: Session,
  program: Program,
  secrets: readonly string[],
  options: RotateOptions,
  answers: Answers,
): Promise<RotateInput> {
  const known = knownNames(answers)
  const asked = options.all === true ? known : [...new Set(secrets)]
  const names = asked.length > 0 ? asked : [GATEWAY_TOKEN]
  const read = await readSecrets(
    secretFlagsOf(options),
    answers,
    program.stdin,
    session.redactor,
    program.cwd,
  )
  const problems: Problem[] = [
    ...secrets
      .filter(name => !known.includes(name))
      .map(name => ({ field: 'secret', given: name, allowed: allowedInstead(name, known) })),
    ...(options.all === true && secrets.length > 0
      ? [{ field: '--all', given: `${secrets.join(', ')} and --all`, allowed: 'one of the two' }]
      : []),
    ...read.problems,
    ...valueProblems(session, options, answers, names, read.brought),
    ...handOutProblems(program, options),
    ...combinationProblems(session, program, options, names),
  ]
  if (problems.length > 0) throw new UsageError(problems, NOTHING_CHANGED)
  return { names, isNamed: asked.length > 0, brought: read.brought, credential: read.openers.credential }
}

/**
 * The secrets of a deployment that can be rotated here; the token after the keys, and what opens the store last of all. A turn
 * that runs is connected to the sandbox anew when that has another host key, by the client key with which it began: so that one
 * comes later.
 */
function knownNames(answers: Answers): string[] {
  const all = allSecretNamesOf(answers)
  const late = [SANDBOX_CLIENT_KEY, GATEWAY_TOKEN].filter(name => all.includes(name))
  const others = all.filter(name => !late.includes(name))
  return [...others, ...late, ...(ownsSecretId(answers) ? [STORE_CREDENTIAL] : [])]
}

function allowedInstead(name: string, known: readonly string[]): string {
  return name === STORE_CREDENTIAL
    ? `${known.join(', ')}: what opens this store is not a secret id that is kept here, and comes from elsewhere (--store-credential of setup)`
    : known.join(', ')
}

/** Whether a secret is made up here, and somebody else has to be told. */
export const isMadeHere = (name: string) => isGenerated(name) && !isSandboxKey(name)

/** Values that are missing, and values that nobody asked for. */
function valueProblems(
  session: Session,
  options: RotateOptions,
  answers: Answers,
  names: readonly string[],
  brought: BroughtSecrets,
): Problem[] {
  const isEnding = options.resume === true && options.ifOlderThan === undefined
  const mustBring = !session.interactive && options.dryRun !== true && !isEnding
  return namedByPerson(answers).flatMap(({ name, field, flag }): Problem[] => {
    if (brought.has(name) && !names.includes(name))
      return [
        { field, given: '(not shown)', allowed: 'only for a secret to be rotated', flag: `rotate ${name}` },
      ]
    if (mustBring && names.includes(name) && !brought.has(name))
      return [{ field, allowed: 'the new value, from its provider: a file or stdin', flag }]
    return []
  })
}

function combinationProblems(
  session: Session,
  program: Program,
  options: RotateOptions,
  names: readonly string[],
): Problem[] {
  const { proveUrl, proveHeader, reveal, json, revokeDevices, yes, tokenFile } = options
  const problems = providerCallProblems(proveUrl, proveHeader)
  if (
    proveUrl !== undefined &&
    names.filter(name => !isGenerated(name) && name !== STORE_CREDENTIAL).length !== 1
  )
    problems.push({ field: '--prove-url', given: names.join(', '), allowed: 'one secret from a provider' })
  if (isHandedOut(options) && names.filter(isMadeHere).length !== 1)
    problems.push({
      field: '--clipboard, --token-file, --reveal',
      given: names.join(', '),
      allowed: 'one secret that is made here',
    })
  if (reveal === true && json === true)
    problems.push({
      field: '--reveal',
      given: 'with --json',
      allowed: 'one of the two',
      flag: '--token-file',
    })
  if (revokeDevices === true && !names.includes(GATEWAY_TOKEN))
    problems.push({
      field: '--revoke-devices',
      given: names.join(', '),
      allowed: 'only together with a new gateway_token: whoever has the old one could pair a device again',
    })
  const target = tokenFile === undefined ? '' : resolve(program.cwd, tokenFile)
  if (target.startsWith(`${session.layout.root}${sep}`))
    problems.push({
      field: 'token file',
      given: target,
      allowed: 'a place outside of the deployment, where the agent cannot read it',
      flag: '--token-file',
    })
  if (revokeDevices === true && !session.interactive && yes !== true && options.dryRun !== true)
    problems.push({
      field: 'consent',
      allowed: 'all paired devices are removed, and have to be paired anew',
      flag: '--yes',
    })
  return problems
}

/** Whether the person wants to be given the new value. */
export function isHandedOut({ clipboard, tokenFile, reveal }: HandOut): boolean {
  return clipboard === true || tokenFile !== undefined || reveal === true
}

/** Asks for the values that only the person has: where there is nobody to ask, they were demanded before. */
export async function askMissing(
  session: Session,
  program: Program,
  answers: Answers,
  due: readonly string[],
  brought: BroughtSecrets,
): Promise<void> {
  const missing = namedByPerson(answers).filter(({ name }) => due.includes(name) && !brought.has(name))
  if (missing.length === 0) return
  const voice = voiceOf(session, program)
  for (const { name, what } of missing) {
    const typed = await voice.secret(`${what}: the new value`, text =>
      text === '' ? 'It cannot be empty.' : unusableKey(new Secret(text)),
    )
    brought.set(name, session.redactor.learn(new Secret(typed)))
  }
}

/** Removing devices destroys: it is asked for, and before anything is changed. Errors: `cancelled`. */
export async function askConsent(session: Session, program: Program): Promise<void> {
  if (!session.interactive) return
  const choice = await voiceOf(session, program).choose(
    'Remove all paired devices afterwards? Each has to be paired anew.',
    [
      { value: 'yes', label: 'Remove them' },
      { value: 'no', label: 'No: stop here' },
    ],
    'yes',
  )
  if (choice === 'no') throw new Cancelled('Nothing was changed.')
}

function voiceOf(session: Session, program: Program): Voice {
  return voiceOn({
    input: program.stdin,
    output: program.stderr,
    accessible: session.accessible,
    signal: program.signal,
  })
}

/** What cannot be meant for several deployments at once: one stdin, one clipboard, one file. */
export function fleetProblems(options: RotateOptions): Problem[] {
  const fromStdin = [
    ...(options.providerKey ?? []),
    ...(options.secretValue ?? []),
    ...(options.storeCredential ?? []),
  ].some(source => source.endsWith('@-'))
  const one = (field: string): Problem => ({
    field,
    allowed: 'only for one deployment',
    flag: '--dir FOLDER',
  })
  return [
    ...(fromStdin ? [one('a secret from stdin')] : []),
    ...(isHandedOut(options) ? [one('--clipboard, --token-file, --reveal')] : []),
  ]
}
