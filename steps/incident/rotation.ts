import { keepReplaced } from '../../src/evidence/replaced.ts'
import { RunningGateway } from '../../src/gateway/running.ts'
import type { Runtime } from '../../src/procedure/run.ts'
import type { Secret } from '../../src/secret.ts'
import { bornAt, type StoredValue } from '../../src/stores/store.ts'
import { type Found, type RotateContext, unfinishedRotations } from '../rotate/context.ts'
import { rotateSecret } from '../rotate/index.ts'
import type { IncidentContext } from './context.ts'

/** What secrets are replaced with while something is wrong. */
export interface Renewal
  extends Pick<
    RotateContext,
    'layout' | 'answers' | 'store' | 'docker' | 'gateway' | 'journal' | 'redactor' | 'owner' | 'now'
  > {
  /** Values that are older may be known to somebody. */
  since: string
  runtimeOf(): Runtime
}

/**
 * Rotates one secret, or goes on with a rotation of it that was cut short. Returns the value before, where that can still be
 * known, and the value since. Errors: as {@link rotateSecret}.
 */
export async function renew(
  renewal: Renewal,
  name: string,
  brought: Secret | undefined,
): Promise<Required<Pick<Found, 'next'>> & Pick<Found, 'old'>> {
  const begun = await begunRotation(renewal, name)
  const { layout, answers, store, docker, gateway, journal, redactor, owner, now } = renewal
  const context: RotateContext = {
    ...{ layout, answers, store, docker, gateway, journal, redactor, name },
    brought: begun === undefined ? brought : undefined,
    resume: begun !== undefined,
    call: undefined,
    mayStart: true,
    owner: () => owner(),
    now: () => now(),
    found: {},
  }
  await rotateSecret(context, () => renewal.runtimeOf())
  const { old, next } = context.found
  // It had ended but for the journal: what is in force is the new value.
  if (begun === 'since' && next === undefined && old !== undefined) return { next: old }
  // One that was begun before may have shown its new value to whoever it is about; and one that had ended has made none.
  if (begun === 'before' || next === undefined) return renew(renewal, name, brought)
  return old === undefined ? { next } : { old, next }
}

/** Whether the value in force is new, and nothing of another one is left, in the journal neither. */
export async function isRenewed(renewal: Pick<Renewal, 'store' | 'journal' | 'since'>, name: string) {
  const current = (await renewal.store.load(name))?.current
  return (await begunRotation(renewal, name)) === undefined && isNew(renewal, current?.rotationId)
}

/** A rotation that was cut short: since, or before. */
export async function begunRotation(
  renewal: Pick<Renewal, 'store' | 'journal' | 'since'>,
  name: string,
): Promise<'since' | 'before' | undefined> {
  const stored = await renewal.store.load(name)
  const next = stored?.pending ?? (stored?.previous === undefined ? undefined : stored.current)
  if (next !== undefined) return isNew(renewal, next.rotationId) ? 'since' : 'before'
  if (!unfinishedRotations(renewal.journal).some(begun => begun.name === name)) return undefined
  // Killed after its end, before the journal had it; or before its beginning.
  return isNew(renewal, stored?.current?.rotationId) ? 'since' : 'before'
}

/** A rotation id has the time it was made at, in whole seconds. */
function isNew({ since }: Pick<Renewal, 'since'>, rotationId: string | undefined): boolean {
  const born = rotationId === undefined ? undefined : bornAt(rotationId)
  return born !== undefined && born.getTime() >= Math.floor(Date.parse(since) / 1000) * 1000
}

/** The renewal of an incident: everything that is older than its case. */
export function renewalOf(ctx: IncidentContext): Renewal {
  const { layout, answers, store, docker, journal, redactor } = ctx
  return {
    ...{ layout, answers, store, docker, journal, redactor },
    gateway: closedGateway(ctx),
    since: ctx.case.openedAt,
    owner: () => ctx.owner(),
    now: () => ctx.now(),
    runtimeOf: () => ctx.runtimeOf(),
  }
}

/** The gateway while nobody else reaches it, which it does not need to take up a new value. */
export function closedGateway(ctx: IncidentContext): RunningGateway {
  return gatewayOf(ctx, true)
}

/** The gateway, reached by everybody unless it `isCutOff`. */
export function gatewayOf(
  { docker, compose, answers, layout, wishes }: IncidentContext,
  isCutOff = false,
): RunningGateway {
  const { startDeadline } = wishes
  return new RunningGateway({ docker, compose, answers, layout, startDeadline, isCutOff })
}

/**
 * Renews one secret, and enters it into the case; what it had before is kept beside that. `gateway`: one that is reached by
 * everybody; without it, the closed one.
 */
export async function rotateInCase(
  ctx: IncidentContext,
  name: string,
  brought: Secret | undefined,
  gateway: RunningGateway = closedGateway(ctx),
): Promise<void> {
  const stored = await ctx.store.load(name)
  if (stored !== undefined) keepReplaced(ctx.layout, name, stored)
  const { old, next } = await renew({ ...renewalOf(ctx), gateway }, name, brought)
  enter(ctx, name, next, old)
}

/**
 * Whether the value in force is new, as {@link isRenewed}; then the case has it, also where the run that renewed it was killed
 * before it could enter it.
 */
export async function isRenewedInCase(
  ctx: Pick<IncidentContext, 'case' | 'store' | 'journal'>,
  name: string,
): Promise<boolean> {
  const { store, journal, case: open } = ctx
  if (!(await isRenewed({ store, journal, since: open.openedAt }, name))) return false
  const current = (await store.load(name))?.current
  const isEntered = open.journal
    .read()
    .some(
      ({ step, facts }) =>
        step === ROTATED && facts?.secret === name && facts.rotation === current?.rotationId,
    )
  if (current !== undefined && !isEntered) enter(ctx, name, current, undefined)
  return true
}

/** Whether this case has a new value for a secret, in force or on its way there: then none has to be brought. */
export async function hasNewInCase(
  { case: open, store, journal }: Pick<IncidentContext, 'case' | 'store' | 'journal'>,
  name: string,
): Promise<boolean> {
  const renewal = { store, journal, since: open.openedAt }
  return (await begunRotation(renewal, name)) === 'since' || isRenewed(renewal, name)
}

const ROTATED = 'rotated'

function enter(
  { case: open }: Pick<IncidentContext, 'case'>,
  name: string,
  next: StoredValue,
  old: StoredValue | undefined,
): void {
  open.note(ROTATED, {
    secret: name,
    rotation: next.rotationId,
    before: old?.value.fingerprint(name) ?? 'unknown',
    after: next.value.fingerprint(name),
  })
}
