import { type Answers, isApart, placeOf } from '../deployment/answers.ts'
import { allSecretNamesOf } from '../gateway/policy.ts'
import { vaultPlace } from '../stores/open.ts'
import type { Openers } from '../wizard/secrets.ts'

/** Forwards, or back; and whether a store that cannot be reached any more is left alone. */
export interface Direction {
  /** Gives up a move that has not switched yet. */
  abandon?: boolean
  /** Ends a move whose old store can never be reached again. */
  leaveOld?: boolean
  /** Gives up a move whose new store can never be reached again. */
  leaveNew?: boolean
}

/** What a move would do, for a person to read before it is done. */
export async function preview(
  from: Answers,
  to: Answers,
  openers: Openers,
  { abandon, leaveOld: leaves }: Direction,
): Promise<string> {
  if (abandon === true)
    return `the secrets stay in ${placeOf(from)}\nthe copies in ${placeOf(to)} are destroyed`
  const made =
    openers.admin === undefined
      ? []
      : [
          'there, with the admin token:',
          (await import('../stores/vault-bootstrap.ts'))
            .bootstrapPlan(vaultPlace(to))
            .replaceAll(/^/gm, '  '),
        ]
  return [
    `from ${placeOf(from)}`,
    `to   ${placeOf(to)}`,
    ...allSecretNamesOf(from).map(name => `  ${name}`),
    ...made,
    `Each is read back from the new store before deployment.yaml names it; then the copies in the old store ${leaves === true ? 'are left there' : 'are destroyed'}.`,
    'What the gateway reads stays as it is; it is not restarted.',
  ].join('\n')
}

/** What a move has done, and what stays to be done by hand. */
export function handOver(
  from: Answers,
  to: Answers,
  names: readonly string[],
  { abandon, leaveOld: leaves, leaveNew: leavesNew }: Direction,
): string {
  const remains = (left: Answers) => [
    ...(left.store === 'vault' ? ['The policies and the AppRole in Vault stay: remove them there.'] : []),
    ...(left.store === '1password'
      ? [
          '1Password keeps a history of deleted items that no program can clear: empty "Recently deleted" there.',
        ]
      : []),
  ]
  const unreached = 'destroy them there, and change the secrets if anybody can read them.'
  if (abandon === true)
    return [
      '',
      `The secrets stay in ${placeOf(from)}.`,
      leavesNew === true
        ? `Copies may be in ${placeOf(to)}: ${unreached}`
        : 'The copies of this move are destroyed.',
      ...remains(to),
      '',
    ].join('\n')
  return [
    '',
    `${names.length} secrets live in ${placeOf(to)} now.`,
    leaves === true
      ? `Their copies in ${placeOf(from)} are still there: ${unreached}`
      : `${placeOf(from)} has none of them any more.`,
    ...remains(from),
    ...(isApart(to)
      ? ['The gateway reads its copies in secrets/, as before.']
      : ['The files in secrets/ are the store.']),
    'Prove it: npx create-openclaw-secure verify',
    '',
  ].join('\n')
}
