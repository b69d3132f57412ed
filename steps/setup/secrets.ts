import { readdirSync } from 'node:fs'
import { isApart, placeOf } from '../../src/deployment/answers.ts'
import { lookAt } from '../../src/deployment/files.ts'
import { Exit, ToolError } from '../../src/errors.ts'
import { generateSecret, isGenerated } from '../../src/gateway/generated.ts'
import { allSecretNamesOf, secretNamesOf } from '../../src/gateway/policy.ts'
import type { Step } from '../../src/procedure/step.ts'
import type { Secret } from '../../src/secret.ts'
import { rotationId, type SecretStore } from '../../src/stores/store.ts'
import { expectUnmoved } from '../move/context.ts'
import { must, type SetupContext } from './context.ts'

type Needs = Pick<SetupContext, 'answers' | 'layout' | 'store' | 'redactor' | 'brought' | 'now' | 'found'>

/**
 * Every secret of the deployment is in the store before anything that needs it exists. What the store has is kept:
 * the value stored first is the value that counts, however often setup is cut short and run again.
 */
export const storeSecrets: Step<Needs> = {
  id: 'secrets.store',
  title: 'Put the gateway token and the provider keys into the store',
  effect: 'writes',
  async skip(ctx) {
    const missing = await namesWithoutValue(ctx)
    return missing.length === 0 ? 'the store has them' : undefined
  },
  async run(ctx) {
    const { answers, layout, brought, redactor, store, now } = ctx
    const facts: Record<string, string> = {}
    expectUnmoved(layout, answers)
    const missing = await namesWithoutValue(ctx)
    refuseLost(ctx, missing)
    for (const name of missing) {
      const value =
        brought.get(name) ?? (isGenerated(name) ? redactor.learn(generateSecret(name)) : undefined)
      if (value === undefined)
        throw new ToolError(
          'secret_missing',
          `the store has no ${name}, and nobody brought one`,
          `Bring it and run the same command again: ${name.endsWith('_api_key') ? '--provider-key PROVIDER=@FILE' : `--secret-value ${name}=@FILE`}.`,
          Exit.unknown,
        )
      facts[name] = await keep(store, name, value, rotationId(now()))
    }
    return {
      saw: Object.entries(facts)
        .map(([name, fingerprint]) => `${name} ${fingerprint}`)
        .join(', '),
      facts,
    }
  },
}

/**
 * A store that is elsewhere and has lost what the gateway still reads is the wrong one, or was emptied: going on would
 * make a new token without anybody having asked for one.
 */
function refuseLost({ answers, layout }: Needs, missing: readonly string[]): void {
  if (!isApart(answers) || lookAt(layout.secrets) === undefined) return
  const delivered = readdirSync(layout.secrets)
  const lost = missing.filter(name => delivered.some(file => file.startsWith(`${name}.`)))
  if (lost.length === 0) return
  throw new ToolError(
    'store_lost',
    `${placeOf(answers)} has no ${lost.join(', ')}, which the gateway reads`,
    `Is it the right place? If it was emptied on purpose, remove ${lost.map(name => `secrets/${name}.*`).join(', ')} too, and run the command again.`,
    Exit.unknown,
  )
}

/** Which value each secret has now. Rotation ids, not values. */
export const readSecretNames: Step<Pick<SetupContext, 'answers' | 'store' | 'found'>> = {
  id: 'secrets.read',
  title: 'Read back what is stored',
  effect: 'reads',
  async run({ answers, store, found }) {
    found.secrets = []
    for (const name of secretNamesOf(answers)) {
      const current = (await store.load(name))?.current
      if (current === undefined) throw new Error(`the store lost ${name}`)
      found.secrets.push({ name, rotationId: current.rotationId })
    }
    return {
      saw: must(found, 'secrets')
        .map(secret => secret.name)
        .join(', '),
    }
  },
}

/** Stage, then commit; a pending value that a killed run left is the one to commit. Returns the fingerprint. */
async function keep(store: SecretStore, name: string, value: Secret, id: string): Promise<string> {
  const found = await store.load(name)
  const pending = found?.pending ?? { rotationId: id, value }
  const revision =
    found?.pending === undefined ? await store.stage(name, pending, found?.revision ?? 0) : found.revision
  await store.commit(name, pending.rotationId, revision)
  return pending.value.fingerprint(name)
}

async function namesWithoutValue({ answers, store }: Pick<Needs, 'answers' | 'store'>): Promise<string[]> {
  const names = allSecretNamesOf(answers)
  const stored = await Promise.all(names.map(async name => (await store.load(name))?.current !== undefined))
  return names.filter((_, index) => stored[index] !== true)
}
