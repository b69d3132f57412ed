import { randomUUID } from 'node:crypto'
import type { Answers } from '../deployment/answers.ts'
import { Exit, type Problem, ToolError } from '../errors.ts'
import type { Secret } from '../secret.ts'
import { credentialNameOf } from '../stores/credential.ts'
import { onePasswordChild } from '../stores/open.ts'
import { type Assist, askSecret } from '../wizard/converse.ts'
import type { Partly, Place } from '../wizard/question.ts'
import { type Openers, unusableKey } from '../wizard/secrets.ts'
import type { Talk } from '../wizard/voice.ts'
import type { Program, Session } from './program.ts'

/** What is wrong with a secret that was typed, without repeating it. */
type Refuse = (value: Secret) => string | undefined

/**
 * Helps a conversation with what opens a store: makes an AppRole a matter of one choice, and a vault one of a list. What it
 * asks for goes into `openers`, and out of it again when the person turns to another store.
 */
export function openersTalk(the: {
  heard: Talk
  session: Session
  program: Program
  place: Place
  openers: Openers
}) {
  const { heard, session, program, place, openers } = the
  const learn = (secret: Secret) => session.redactor.learn(secret)
  // What was asked for belongs to the store it was asked for: no other may ever be shown it.
  let asked = ''
  const forget = () => {
    delete openers.admin
    delete openers.credential
    asked = ''
  }
  const keyOf = ({ store, vaultAuth, vaultAddress }: Partly) => [store, vaultAuth, vaultAddress].join(' ')
  const settle = (answers: Partly) => {
    if (asked !== '' && asked !== keyOf(answers)) forget()
  }
  const ask = async (what: 'admin' | 'credential', answers: Partly, message: string, refuse: Refuse) => {
    const secret = learn(await askSecret(heard, message, refuse))
    openers[what] = secret
    asked = keyOf(answers)
    return secret
  }

  const assist: Assist = async (question, answers, voice) => {
    settle(answers)
    if (question.id === 'vaultRole' && answers.vaultAuth === 'approle') {
      // Changed at the review: the choice is offered again.
      if (asked !== '' && answers.vaultRole !== undefined) forget()
      if (openers.admin === undefined && openers.credential === undefined) {
        const way = await voice.choose(
          'This machine needs an AppRole of its own in Vault',
          [
            { value: 'have', label: 'I have its role id and secret id' },
            { value: 'make', label: 'Make one', hint: 'with an admin token, which is not kept' },
          ],
          'have',
        )
        if (way === 'have') return {}
        await ask('admin', answers, 'Vault admin token', unusableKey)
      }
      if (openers.admin === undefined) return {}
      place.newRole ??= randomUUID()
      return { answer: place.newRole }
    }
    if (question.id === 'onepasswordVault') {
      const { inspectServiceAccount } = await import('../stores/onepassword-token.ts')
      const wrong = (token: Secret) => complaint(() => inspectServiceAccount(token))
      for (;;) {
        const token =
          openers.credential ?? (await ask('credential', answers, '1Password service account token', wrong))
        const vaults = await vaultsOf(session, program, token).catch((error: unknown) => {
          // One that was brought is what it is; another can be pasted.
          if (!(error instanceof ToolError) || asked === '') throw error
          voice.warn(`${error.message}. ${error.hint}`)
          return undefined
        })
        for (const vault of vaults?.filter(one => !one.usable) ?? [])
          voice.warn(`${vault.title}: ${vault.why ?? ''}`)
        const usable = vaults?.filter(one => one.usable) ?? []
        const choices = usable.map(({ id, title, items }) => ({
          value: id,
          label: title,
          hint: `${items} items`,
        }))
        if (choices.length > 0) return { choices }
        if (asked === '') throw noVault()
        if (vaults !== undefined) voice.warn(noVault().message)
        forget()
      }
    }
    return {}
  }
  const promised = (answers: Answers): Problem[] =>
    answers.store === 'vault' && answers.vaultRole === place.newRole && openers.admin === undefined
      ? [
          {
            field: 'vaultRole',
            saw: 'this role was to be made with an admin token, for another server or another way to log in',
            allowed: 'Change it: give the role to log in as, or have one made.',
          },
        ]
      : []
  return {
    assist,
    /** What is wrong with these answers for want of what opens the store. */
    wrong(answers: Answers): Problem[] {
      settle(answers)
      return promised(answers)
    },
    askCredential: (answers: Answers) =>
      ask('credential', answers, `${credentialNameOf(answers)} that opens the store`, unusableKey),
  }
}

async function vaultsOf({ searchingRun, redactor }: Session, { version }: Program, credential: Secret) {
  const { listVaults } = await import('../stores/onepassword.ts')
  return listVaults({
    credential: () => credential,
    run: searchingRun,
    child: onePasswordChild(),
    redactor,
    version,
  })
}

/** What a look throws, as a sentence; undefined when it throws nothing. */
function complaint(look: () => unknown): string | undefined {
  try {
    look()
    return undefined
  } catch (error) {
    if (error instanceof ToolError) return `${error.message}. ${error.hint}`
    throw error
  }
}

function noVault(): ToolError {
  return new ToolError(
    'store_denied',
    'this service account can write to no vault',
    'Make a vault in 1Password, give the service account read and write access to it, and run the command again.',
    Exit.unknown,
  )
}
