import { keySecretOf, type Provider } from '../../src/deployment/answers.ts'
import { Cancelled, ToolError } from '../../src/errors.ts'
import { readReplaced } from '../../src/evidence/replaced.ts'
import { acceptedStatus, callWithKey } from '../../src/gateway/provider-call.ts'
import { generateToken, type Secret } from '../../src/secret.ts'
import type { Action, IncidentContext } from './context.ts'
import { LEFT } from './left.ts'
import { begunRotation, isRenewedInCase, renewalOf, rotateInCase } from './rotation.ts'

/** Where a provider's keys are made and revoked, and a question that it answers to the owner of a key alone. */
interface Desk {
  page: string
  ask?: { url: string; header?: string }
}

/** From the providers' own documentation. Where listing models needs no key, another question is asked, or none. */
const DESKS: Readonly<Record<string, Desk>> = {
  anthropic: {
    page: 'https://console.anthropic.com/settings/keys',
    ask: { url: 'https://api.anthropic.com/v1/models', header: 'x-api-key' },
  },
  deepseek: {
    page: 'https://platform.deepseek.com/api_keys',
    ask: { url: 'https://api.deepseek.com/models' },
  },
  google: {
    page: 'https://aistudio.google.com/app/apikey',
    ask: { url: 'https://generativelanguage.googleapis.com/v1beta/models', header: 'x-goog-api-key' },
  },
  groq: { page: 'https://console.groq.com/keys', ask: { url: 'https://api.groq.com/openai/v1/models' } },
  huggingface: {
    page: 'https://huggingface.co/settings/tokens',
    ask: { url: 'https://huggingface.co/api/whoami-v2' },
  },
  minimax: { page: 'https://platform.minimax.io/user-center/basic-information/interface-key' },
  mistral: {
    page: 'https://console.mistral.ai/api-keys',
    ask: { url: 'https://api.mistral.ai/v1/models' },
  },
  nvidia: { page: 'https://build.nvidia.com/settings/api-keys' },
  openai: {
    page: 'https://platform.openai.com/api-keys',
    ask: { url: 'https://api.openai.com/v1/models' },
  },
  openrouter: {
    page: 'https://openrouter.ai/settings/keys',
    ask: { url: 'https://openrouter.ai/api/v1/key' },
  },
  together: {
    page: 'https://api.together.ai/settings/api-keys',
    ask: { url: 'https://api.together.xyz/v1/models' },
  },
  xai: { page: 'https://console.x.ai', ask: { url: 'https://api.x.ai/v1/models' } },
}

/** A key that leaked works until its provider is told: a rotation here does not reach there. */
export const rotateProviderKeys: Action = {
  id: 'providers.keys',
  title: 'Replace the providers’ keys, and have the old ones revoked',
  effect: 'contains',
  skip({ answers, wishes }) {
    if (answers.providers.length === 0) return 'there is no provider'
    return wishes.rehearsal ? 'a drill asks nobody elsewhere' : undefined
  },
  async run(ctx) {
    const outcomes: string[] = []
    let left = 0
    for (const provider of ctx.answers.providers) {
      const { saw, isLeft } = await replace(ctx, provider)
      outcomes.push(`${provider.id}: ${saw}`)
      if (isLeft) left += 1
    }
    return { saw: outcomes.join('; '), facts: { providers: outcomes.length, left } }
  },
}

async function replace(ctx: IncidentContext, provider: Provider): Promise<{ saw: string; isLeft: boolean }> {
  const name = keySecretOf(provider)
  const desk = deskOf(provider)
  const leave = (what: string) => {
    ctx.case.note(LEFT, { secret: name, what, where: desk.page })
    return { saw: `LEFT TO DO: ${what} (${desk.page})`, isLeft: true }
  }
  if (!(await isRenewedInCase(ctx, name))) {
    const isBegun = (await begunRotation(renewalOf(ctx), name)) === 'since'
    if (!isBegun) ctx.say(`${provider.id}: make a new key at ${desk.page}`)
    const key =
      ctx.wishes.brought.get(name) ??
      (isBegun ? undefined : await ctx.ask?.secret(`The new key of ${provider.id}`))
    if (key === undefined && !isBegun)
      return leave('make a new key, bring it with rotate, and revoke the old one')
    try {
      await rotateInCase(ctx, name, key && ctx.redactor.learn(key))
    } catch (error) {
      if (!(error instanceof ToolError) || error instanceof Cancelled) throw error
      return leave(`the new key is not in use: ${error.message}`)
    }
  } else if (isProvenDead(ctx, name))
    return { saw: 'replaced before; its provider refuses the old one', isLeft: false }
  // Before the question: whoever leaves there, and ends the case, has not revoked it.
  leave('revoke the old key')
  const isDone = await ctx.ask?.confirm(
    `Revoke the OLD key of ${provider.id} at ${desk.page} now. Is it done?`,
  )
  const state = await stateOfAll(desk, await oldKeysOf(ctx, name), ctx)
  ctx.case.note('old-key', { secret: name, state, revoked: isDone ?? false })
  if (state === 'refused') return { saw: 'replaced; its provider refuses the old one', isLeft: false }
  if (state === 'accepted') return leave('the old key is STILL ACCEPTED by its provider: revoke it')
  return leave(
    isDone === true
      ? 'you have revoked the old key; whether it is dead could not be asked'
      : 'revoke the old key; whether it is dead could not be asked',
  )
}

function deskOf(provider: Provider): Desk {
  const known = DESKS[provider.id]
  if (provider.url === undefined) return known ?? { page: `where ${provider.id} manages its keys` }
  return {
    page: `where ${provider.id} (${new URL(provider.url).host}) manages its keys`,
    ask: { url: `${provider.url.replace(/\/$/, '')}/models` },
  }
}

/**
 * What a provider has been told to forget: whatever this case, or a rotation that was half-way before it, has put out of force.
 * They lie beside the case, so that a run that goes on has them too.
 */
async function oldKeysOf({ layout, store, redactor }: IncidentContext, name: string): Promise<Secret[]> {
  const current = (await store.load(name))?.current?.value
  return readReplaced(layout, name)
    .map(old => redactor.learn(old))
    .filter(old => current?.equals(old) !== true)
}

/** Dead is what is refused; one that is still accepted is enough not to be. */
async function stateOfAll(
  desk: Desk,
  old: readonly Secret[],
  ctx: IncidentContext,
): Promise<'refused' | 'accepted' | 'unknown'> {
  const states = await Promise.all(old.map(key => stateOf(desk, key, ctx)))
  if (states.includes('accepted')) return 'accepted'
  return states.length === 0 || states.includes('unknown') ? 'unknown' : 'refused'
}

/**
 * What its provider says of an old key. One that takes a key which nobody has does not look at keys at all, and has said
 * nothing.
 */
async function stateOf(
  { ask }: Desk,
  old: Secret,
  { redactor }: IncidentContext,
): Promise<'refused' | 'accepted' | 'unknown'> {
  if (ask === undefined) return 'unknown'
  try {
    const answer = acceptedStatus((await callWithKey(ask.url, ask.header, old)).status)
    if (answer !== 'accepted') return answer
    const nobodys = redactor.learn(generateToken())
    const control = acceptedStatus((await callWithKey(ask.url, ask.header, nobodys)).status)
    return control === 'refused' ? 'accepted' : 'unknown'
  } catch (error) {
    if (!(error instanceof ToolError)) throw error
    return 'unknown'
  }
}

function isProvenDead({ case: { journal } }: IncidentContext, name: string): boolean {
  const note = journal.read().findLast(({ step, facts }) => step === 'old-key' && facts?.secret === name)
  return note?.facts?.state === 'refused'
}
