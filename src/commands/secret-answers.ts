import { type Answers, keySecretOf } from '../deployment/answers.ts'
import { type Problem, ToolError } from '../errors.ts'
import { secretNamesOf } from '../gateway/policy.ts'
import { findCredential, isSpent, isWrapped } from '../stores/credential.ts'
import type { SecretStore } from '../stores/store.ts'
import type { BroughtSecrets, Openers } from '../wizard/secrets.ts'
import type { Program, Session } from './program.ts'

/** A secret id that is still wrapped, or is still to be made, is not spent on a look. */
export function canPeek(answers: Answers, { admin, credential }: Openers): boolean {
  return admin === undefined && (credential === undefined || !isWrapped(answers, credential))
}

/** The same command again, with a wrapped secret id that an earlier run has unwrapped: what was in it is kept here. */
export function withoutSpent({ layout }: Session, answers: Answers, openers: Openers): void {
  if (openers.credential !== undefined && isSpent(layout, answers, openers.credential))
    delete openers.credential
}

/** What is wrong with what opens the store, before anything is contacted. */
export async function openerProblems(
  session: Session,
  program: Program,
  answers: Answers,
  { admin, credential }: Openers,
): Promise<Problem[]> {
  const problems: Problem[] = []
  const isAppRole = answers.store === 'vault' && answers.vaultAuth === 'approle'
  const unfit = (field: string, allowed: string, flag: string) =>
    problems.push({ field, given: '(not shown)', allowed, flag })
  if (admin !== undefined && !isAppRole)
    unfit('Vault admin token', 'only together with --store vault and --vault-auth approle', '--vault-admin')
  if (admin !== undefined && (credential !== undefined || answers.credentialFile !== ''))
    unfit(
      'Vault admin token',
      'only without a credential: it makes a new one, which this tool keeps',
      '--vault-admin',
    )
  if (credential !== undefined && answers.store === 'docker')
    unfit('store credential', 'only together with --store vault or 1password', '--store-credential')
  if (credential !== undefined && answers.credentialFile !== '')
    unfit('store credential', 'only without --credential-file, which names where it is', '--store-credential')
  if (problems.length > 0 || admin !== undefined || answers.store === 'docker') return problems
  try {
    const found = findCredential({
      answers,
      layout: session.layout,
      given: credential,
      env: program.env,
      redactor: session.redactor,
    })
    if (answers.credentialFile !== '' && isWrapped(answers, found))
      unfit(
        'store credential',
        'no wrapped secret id in a file that is read each time: it is good for one use',
        '--store-credential @FILE',
      )
    if (answers.store !== '1password') return problems
    const { inspectServiceAccount } = await import('../stores/onepassword-token.ts')
    inspectServiceAccount(found)
    return problems
  } catch (error) {
    if (!(error instanceof ToolError)) throw error
    return [{ field: 'store credential', saw: error.message, allowed: error.hint }]
  }
}

/** Whether nothing is known that opens the store. */
export function needsCredential(
  { layout, redactor }: Session,
  { env }: Program,
  answers: Answers,
  openers: Openers,
): boolean {
  if (answers.store === 'docker' || openers.admin !== undefined || openers.credential !== undefined)
    return false
  try {
    findCredential({ answers, layout, given: undefined, env, redactor })
    return false
  } catch (error) {
    if (error instanceof ToolError && error.code === 'store_credential') return answers.credentialFile === ''
    throw error
  }
}

/** Secrets only the person has: they cannot be generated. */
export function namedByPerson({ providers, extraSecrets }: Pick<Answers, 'providers' | 'extraSecrets'>) {
  return [
    ...providers.map(provider => ({
      name: keySecretOf(provider),
      what: `API key of ${provider.id}`,
      field: `key of ${provider.id}`,
      flag: `--provider-key ${provider.id}=@FILE (or =@-)`,
    })),
    ...extraSecrets.map(name => ({
      name,
      what: `Value of ${name}`,
      field: name,
      flag: `--secret-value ${name}=@FILE (or =@-)`,
    })),
  ]
}

/** What does not fit together: what was brought, and what the store has. */
export async function storeProblems(
  store: SecretStore,
  names: Pick<Answers, 'providers' | 'extraSecrets' | 'posture'>,
  brought: BroughtSecrets,
  wrong: ReadonlySet<string>,
): Promise<Problem[]> {
  const problems = await secretConflicts(store, secretNamesOf(names), brought)
  const stored = new Set(wrong)
  for (const { name } of namedByPerson(names)) if (await has(store, name)) stored.add(name)
  return [...problems, ...missingSecrets(names, brought, stored)]
}

/** Secrets that only the person has, and did not bring. `known`: those that need not be brought. */
export function missingSecrets(
  names: Pick<Answers, 'providers' | 'extraSecrets'>,
  brought: BroughtSecrets,
  known: ReadonlySet<string>,
): Problem[] {
  return namedByPerson(names)
    .filter(({ name }) => !brought.has(name) && !known.has(name))
    .map(({ field, flag }) => ({ field, allowed: 'a file or stdin that holds it', flag }))
}

export async function has(store: SecretStore, name: string): Promise<boolean> {
  return (await store.load(name)) !== undefined
}

/** A secret somebody brings although another one is stored: setup keeps what is stored, so saying nothing would deceive. */
export async function secretConflicts(
  store: SecretStore,
  names: readonly string[],
  brought: BroughtSecrets,
): Promise<Problem[]> {
  const problems: Problem[] = []
  for (const name of names) {
    const value = brought.get(name)
    const found = value === undefined ? undefined : await store.load(name)
    const stored = (found?.current ?? found?.pending)?.value
    if (value !== undefined && stored !== undefined && !stored.equals(value))
      problems.push({
        field: name,
        given: '(not shown)',
        allowed: 'the value that is stored already, or none: setup does not replace a secret',
        flag: 'leave the flag out',
      })
  }
  return problems
}
